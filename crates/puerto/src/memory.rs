//! How much freed memory stays ours.

/// Lets the allocator keep what connections free. With glibc's own limits the buffers of large messages go
/// back to the kernel after each of them, and every page of the next one is a fault: 22 of them for an answer
/// of 256 KiB, a fifth of what it costs. Where the allocator is another one there is nothing to set.
pub(crate) fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Freed memory that stays at the end of an arena, in bytes.
        const KEEP: i32 = 8 * 1024 * 1024;
        /// Size from which memory is asked of the kernel for one use and given back after it, in bytes: the
        /// highest that glibc would choose by itself.
        const SINGLE: i32 = 32 * 1024 * 1024;
        #[allow(unsafe_code, reason = "the C library has no other way to set it")]
        // SAFETY: mallopt takes two numbers, and it is called before there is a second thread. It may refuse a
        // value, which changes nothing.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP);
            libc::mallopt(libc::M_MMAP_THRESHOLD, SINGLE);
        }
    }
}
