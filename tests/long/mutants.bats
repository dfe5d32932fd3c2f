# SPDX-License-Identifier: LGPL-2.1-or-later
# As tests/60-mutants.bats, with more mutants.

load ../lib/damage

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

@test "20000 mutants are opened, read, checked, repaired and written to" {
	run qcow2-mutate --seed 2 --count 20000 "$SOUND"/*.qcow2
	assert_success
	assert_output --partial ' 0 bad'
}
