//! What a program without a standard library has to bring: its start, its memory, its end.
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;

use crate::sys;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    start = sym start,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x0, sp",
    "and sp, x0, #-16",
    "bl {start}",
    start = sym start,
);

/// The first code: the kernel leaves the number of arguments and then their addresses on the stack.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: that layout is part of the kernel's interface.
    let count = unsafe { *stack };
    let mut args: Vec<&[u8]> = Vec::new();
    for at in 2..=count {
        // SAFETY: `count` addresses of strings that end with zero and live as long as the process.
        let text = unsafe { core::ffi::CStr::from_ptr(*stack.add(at) as *const core::ffi::c_char) };
        args.push(text.to_bytes());
    }
    let code = match crate::run(&args) {
        Ok(()) => 0,
        Err(failure) => {
            failure.print();
            1
        }
    };
    sys::exit(code)
}

/// Memory that is only ever taken: the process ends soon.
struct Bump(UnsafeCell<(usize, usize)>);

// SAFETY: the program has one thread.
unsafe impl Sync for Bump {}

#[global_allocator]
static MEMORY: Bump = Bump(UnsafeCell::new((0, 0)));

/// How much is taken from the kernel at once.
const CHUNK: usize = 1 << 20;

// SAFETY: every address is given out once, aligned, within what the kernel gave.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and nothing here allocates.
        let (next, end) = unsafe { &mut *self.0.get() };
        let mut at = next.next_multiple_of(layout.align());
        if *next == 0 || at + layout.size() > *end {
            let size = (layout.size() + layout.align()).next_multiple_of(CHUNK);
            let Some(chunk) = sys::map(size) else { return core::ptr::null_mut() };
            *end = chunk + size;
            at = chunk.next_multiple_of(layout.align());
        }
        *next = at + layout.size();
        at as *mut u8
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: one thread.
        let (next, _) = unsafe { &mut *self.0.get() };
        // The last one can be given out again, which is what most temporary strings are.
        if address as usize + layout.size() == *next {
            *next = address as usize;
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    let _ = sys::write_all(2, b"the helper broke down\n");
    sys::exit(70)
}

/// Named by precompiled code that unwinds; nothing here does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    sys::exit(70)
}

/// Copies bytes; the compiler calls it by name.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller vouches for both. Volatile, or the compiler makes this a call of itself.
        unsafe { to.add(at).write_volatile(from.add(at).read()) };
    }
    to
}

/// Copies bytes that may overlap.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize) < from as usize {
        // SAFETY: what is overwritten has been read.
        return unsafe { memcpy(to, from, count) };
    }
    for at in (0..count).rev() {
        // SAFETY: as above, from the end.
        unsafe { to.add(at).write_volatile(from.add(at).read()) };
    }
    to
}

/// Fills bytes.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller vouches for it.
        unsafe { to.add(at).write_volatile(byte as u8) };
    }
    to
}

/// Compares bytes.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller vouches for both.
        let (a, b) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// Compares bytes for equality.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: the caller vouches for both.
    unsafe { memcmp(a, b, count) }
}

/// The length of a string that ends with zero.
///
/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut count = 0;
    // SAFETY: the caller vouches for the zero at the end.
    while unsafe { text.add(count).read_volatile() } != 0 {
        count += 1;
    }
    count
}
