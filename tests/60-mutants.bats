# SPDX-License-Identifier: LGPL-2.1-or-later
# qcow2 images that somebody tampered with: no crash, no hang, little memory.
# tests/long/mutants.bats tries more of them.

load lib/damage

setup_file()
{
	mutant_images
}

setup()
{
	common_setup
	need qemu-img qemu-io
	cp "$SOUND/data-file.data" .
}

@test "2000 mutants are opened, read, checked, repaired and written to" {
	run qcow2-mutate --count 2000 "$SOUND"/*.qcow2
	assert_success
	assert_output --regexp '^2000 mutants, [1-9][0-9]{2,} opened, '
	assert_output --partial ' 0 bad'
}

@test "a mutant is the same whenever it is made" {
	qcow2-mutate --first 7 --count 1 --keep a "$SOUND"/*.qcow2
	qcow2-mutate --first 7 --count 1 --keep b "$SOUND"/*.qcow2
	cmp a b
	qcow2-mutate --first 8 --count 1 --keep b "$SOUND"/*.qcow2
	run cmp a b
	assert_failure
}
