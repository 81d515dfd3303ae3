"""Takes an order: looks the price up in the shop's database, and has it charged by the payment service on the internet."""
import json
import urllib.request

import psycopg2

connection = None


def price_of(item):
    global connection
    if connection is None:  # kept from one invocation to the next
        connection = psycopg2.connect(host="db.shop.internal", dbname="shop", user="app", connect_timeout=2)
        connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT price FROM items WHERE name = %s", (item,))
        row = cursor.fetchone()
    if row is None:
        raise LookupError("no such item: %s" % item)
    return row[0]


def handler(event, context):
    price = price_of(event["item"])
    # the service says whom it saw: the NAT gateway
    with urllib.request.urlopen("http://payments.example.com/charge", timeout=2) as answer:
        seen = json.loads(answer.readline())["from"]
    return {"item": event["item"], "price": price, "charged_from": seen}
