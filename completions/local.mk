# SPDX-License-Identifier: LGPL-2.1-or-later
# Shell completions; the folders are set by configure.

dist_bashcompletion_DATA =
dist_zshcompletion_DATA =
dist_fishcompletion_DATA =
