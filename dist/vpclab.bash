# SPDX-License-Identifier: MIT
# Completion of vpclab(1) for bash.  What may come next is vpclab's to say (vpclab __complete):
# a line a candidate, with its description behind a tab; ":files" asks for names of files, too.

_vpclab() {
	local line cur word=${COMP_WORDS[COMP_CWORD]} equals="" files="" words=()

	# a word with ':' or '=' in it is several to bash, and one to vpclab
	if declare -F _get_comp_words_by_ref >/dev/null; then
		local cword
		_get_comp_words_by_ref -n := cur words cword
		words=("${words[@]:1:cword}")
	else
		cur=$word
		words=("${COMP_WORDS[@]:1:COMP_CWORD}")
	fi
	# bash replaces what stands behind '=' alone
	[[ $cur == --*=* && $COMP_WORDBREAKS == *=* ]] && equals=${cur%%=*}=
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:files) files=1 ;;
		*)
			line=${line%%$'\t'*}
			COMPREPLY+=("${line#"$equals"}")
			;;
		esac
	done < <("${COMP_WORDS[0]}" __complete -- "${words[@]}" 2>/dev/null)
	if [ -n "$files" ]; then
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "${cur#"$equals"}")
		compopt -o filenames 2>/dev/null
	fi
	if declare -F __ltrim_colon_completions >/dev/null; then
		__ltrim_colon_completions "$cur"
	fi
	# tcp/ and kinds/ go on
	[[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
	return 0
}

complete -F _vpclab vpclab
