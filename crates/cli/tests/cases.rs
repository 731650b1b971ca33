//! Every promise of the command line that its arguments, files and output show: one file per command in `cases`.

use std::path::Path;

#[test]
fn the_command_line_does_what_the_case_files_say() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    vaultref_testkit::cases::run(&cases, Path::new(env!("CARGO_BIN_EXE_vaultref")));
}
