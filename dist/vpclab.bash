# SPDX-License-Identifier: MIT
# Completion of vpclab(1) for bash: verbs, options, names of labs and nodes.

_vpclab_labs() {
	"$1" "${@:2}" --no-start -o json ls 2>/dev/null | grep -o '"lab":"[^"]*"' | cut -d'"' -f4
}

_vpclab_nodes() {
	local lab=$2 kind
	for kind in instances functions; do
		"$1" "${@:3}" --no-start -o json show "$lab" "$kind" 2>/dev/null |
			grep -o '"name":"[^"]*"' | cut -d'"' -f4
	done
}

_vpclab() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local verbs="check plan up test down ls show exec probe invoke logs events gc doctor daemon init version help"
	local common="--run-dir --state-dir --output --quiet --verbose --color --no-start --help"
	local verb="" i own="" words=() where=() names=""

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--run-dir | --state-dir)
			where+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		-o | --output | --color) ((i++)) ;;
		-*) ;;
		*) if [ -z "$verb" ]; then verb=${COMP_WORDS[i]}; else words+=("${COMP_WORDS[i]}"); fi ;;
		esac
	done
	case $prev in
	--run-dir | --state-dir)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	-o | --output) names="text json" ;;
	--color) names="auto always never" ;;
	--format) names="text tap junit json" ;;
	--expect) names="open refused timeout unreachable" ;;
	--address) names="private public" ;;
	esac
	if [ -n "$names" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$names" -- "$cur")
		return
	fi
	case $verb in
	"") own=$verbs ;;
	check) own="--strict --lab --merge" ;;
	plan) own="--exit-code --strict --lab --merge" ;;
	up) own="--timeout --strict --lab --merge" ;;
	test) own="--format --junit --tap --json --filter --skip -j --fail-fast --repeat --keep --keep-failed --list --bundle --lab --merge" ;;
	down) own="--all" ;;
	exec) own="--timeout -t" ;;
	probe) own="--expect --address --timeout" ;;
	matrix) own="--measure --exit-code --lab --merge" ;;
	why) own="--address --lab --merge" ;;
	invoke) own="--payload --qualifier --log --header --retries" ;;
	logs) own="-f" ;;
	events) own="--after" ;;
	daemon) own="start stop status --group" ;;
	help) own=$verbs ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$own $common" -- "$cur")
		return
	fi
	case $verb:${#words[@]} in
	check:* | plan:* | up:*) ;;
	test:* | down:* | show:0 | exec:0 | probe:0 | invoke:0 | logs:0 | events:0)
		own+=" $(_vpclab_labs "$1" "${where[@]}")"
		;;
	exec:1 | probe:1 | probe:2 | invoke:1 | logs:1)
		own+=" $(_vpclab_nodes "$1" "${words[0]}" "${where[@]}")"
		;;
	show:1) own="vpcs subnets route_tables security_groups nat_gateways network_interfaces instances functions" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$own" -- "$cur")
	case $verb in
	check | plan | up | test) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}

complete -o filenames -o bashdefault -F _vpclab vpclab
