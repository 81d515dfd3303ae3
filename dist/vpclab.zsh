#compdef vpclab
# SPDX-License-Identifier: MIT
# Completion of vpclab(1) for zsh.  What may come next is vpclab's to say (vpclab __complete):
# a line a candidate, with its description behind a tab; ":files" asks for names of files, too.

_vpclab() {
	local line files
	local -a found described

	found=("${(@f)$("${(Q)words[1]}" __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
	for line in $found; do
		case $line in
		:files) files=1 ;;
		*) described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		esac
	done
	(( $#described )) && _describe -V vpclab described
	[[ -n $files ]] && _files
	return 0
}

# found below fpath it is called at once; read into a shell it only registers
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_vpclab "$@"
else
	compdef _vpclab vpclab
fi
