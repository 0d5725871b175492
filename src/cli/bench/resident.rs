//! How much of its memory this process has in RAM, and had at most.

use std::fs;

use crate::cli::failure::Failure;

/// Bytes in RAM now.
pub(super) fn now() -> Result<u64, Failure> {
    read("VmRSS:")
}

/// The most bytes that were in RAM since [`forget_peak`].
pub(super) fn peak() -> Result<u64, Failure> {
    read("VmHWM:")
}

/// Lets the peak begin anew. A kernel that refuses it keeps the peak of the whole process, which
/// can only be higher.
pub(super) fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn read(field: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let unread = || Failure::Failed(format!("cannot read {field} in /proc/self/status"));
    bytes(&status, field).ok_or_else(unread)
}

fn bytes(status: &str, field: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_kernels_report_are_in_kibibytes() {
        let status = "VmPeak:\t  999 kB\nVmHWM:\t    2064 kB\nVmRSS:\t    12 kB\nThreads:\t1\n";
        assert_eq!(bytes(status, "VmHWM:"), Some(2064 * 1024));
        assert_eq!(bytes(status, "VmRSS:"), Some(12 * 1024));
        assert_eq!(bytes(status, "Threads:"), None);
        assert_eq!(bytes(status, "VmSwap:"), None);
    }

    #[test]
    fn a_peak_is_no_less_than_what_was_held() {
        let before = now().expect("it is readable");
        forget_peak();
        drop(std::hint::black_box(vec![1_u8; 64_000_000]));
        let peak = peak().expect("it is readable");
        assert!(peak >= before + 60_000_000, "{peak} is not {before} and 64 MB more");
    }
}
