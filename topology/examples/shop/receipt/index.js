// Writes a receipt.  The layer has Middy, a published middleware engine: what a handler needs before and after is a list.
const middy = require("@middy/core");

const total = {
	before: (request) => {
		const lines = request.event.lines ?? [];
		request.event.total = lines.reduce((sum, line) => sum + line.price, 0);
	},
};

const polite = {
	after: (request) => {
		request.response.text += " Thank you!";
	},
	onError: (request) => {
		request.response = { text: "Sorry: " + request.error.message };
	},
};

exports.handler = middy(async (event) => {
	if (!event.lines?.length)
		throw new Error("nothing was bought");
	return { total: event.total, text: `${event.lines.length} items, ${event.total} in all.` };
}).use(total).use(polite);
