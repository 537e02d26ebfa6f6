//! Results, on stdout.

/// Prints a result.
pub(super) fn print(text: &str) {
    print_if_read(text);
}

/// Prints a result, and says whether anybody reads it.
pub(super) fn print_if_read(text: &str) -> bool {
    irosh::stdio::print(text).unwrap_or_else(|error| {
        irosh::log::complain("irosh", &error);
        irosh::log::flush();
        std::process::exit(1);
    })
}
