# SPDX-License-Identifier: LGPL-2.1-or-later
# Shell completions; the folders are set by configure.

dist_bashcompletion_DATA = %D%/platter.bash
dist_zshcompletion_DATA = %D%/_platter
dist_fishcompletion_DATA = %D%/platter.fish
