//! The command `brownout`.

use std::process::ExitCode;

fn main() -> ExitCode {
    brownout::cli::main()
}
