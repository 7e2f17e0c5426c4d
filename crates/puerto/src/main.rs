//! The binary.

fn main() -> std::process::ExitCode {
    puerto::main()
}
