//! System calls, and the few operations on files that are made of them.
use alloc::vec::Vec;
use core::arch::asm;

/// Numbers of the calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const GETDENTS64: usize = 217;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const MKDIRAT: usize = 258;
    pub const MKNODAT: usize = 259;
    pub const FCHOWNAT: usize = 260;
    pub const LINKAT: usize = 265;
    pub const SYMLINKAT: usize = 266;
    pub const READLINKAT: usize = 267;
    pub const FCHMODAT: usize = 268;
    pub const UTIMENSAT: usize = 280;
    pub const COPY_FILE_RANGE: usize = 326;
    pub const STATX: usize = 332;
}

/// Numbers of the calls.
#[cfg(target_arch = "aarch64")]
mod number {
    pub const MKNODAT: usize = 33;
    pub const MKDIRAT: usize = 34;
    pub const SYMLINKAT: usize = 36;
    pub const LINKAT: usize = 37;
    pub const FCHMODAT: usize = 53;
    pub const FCHOWNAT: usize = 54;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const GETDENTS64: usize = 61;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const READLINKAT: usize = 78;
    pub const UTIMENSAT: usize = 88;
    pub const EXIT_GROUP: usize = 94;
    pub const MMAP: usize = 222;
    pub const COPY_FILE_RANGE: usize = 285;
    pub const STATX: usize = 291;
}

#[cfg(target_arch = "x86_64")]
const O_DIRECTORY: usize = 0o200000;
#[cfg(target_arch = "x86_64")]
const O_NOFOLLOW: usize = 0o400000;
#[cfg(target_arch = "aarch64")]
const O_DIRECTORY: usize = 0o40000;
#[cfg(target_arch = "aarch64")]
const O_NOFOLLOW: usize = 0o100000;
const O_WRONLY: usize = 0o1;
const O_CREAT: usize = 0o100;
const O_EXCL: usize = 0o200;
const O_CLOEXEC: usize = 0o2000000;
const O_NOATIME: usize = 0o1000000;
/// The current directory; all paths are absolute.
const AT_FDCWD: usize = -100_isize as usize;
const AT_SYMLINK_NOFOLLOW: usize = 0x100;
/// No such file.
pub const ENOENT: i32 = 2;
/// Not the owner.
const EPERM: i32 = 1;
/// There is one.
pub const EEXIST: i32 = 17;

/// A call that the kernel refused.
pub struct Failure {
    what: Vec<u8>,
    code: i32,
}

/// The result of a call.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub fn new(what: &[u8], code: i32) -> Self {
        Self { what: what.into(), code }
    }

    pub const fn is(&self, code: i32) -> bool {
        self.code == code
    }

    pub fn print(&self) {
        let mut line = self.what.clone();
        line.extend_from_slice(b": error ");
        crate::ledger::decimal(&mut line, self.code.unsigned_abs().into());
        line.push(b'\n');
        let _ = write_all(2, &line);
    }
}

#[cfg(target_arch = "x86_64")]
fn call(number: usize, a: [usize; 6]) -> isize {
    let result;
    // SAFETY: the callers below pass what the call of this number takes.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a[0], in("rsi") a[1],
            in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, a: [usize; 6]) -> isize {
    let result;
    // SAFETY: the callers below pass what the call of this number takes.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a[0] => result, in("x1") a[1],
            in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack));
    }
    result
}

fn checked(what: &[u8], result: isize) -> Outcome<usize> {
    match usize::try_from(result) {
        Ok(value) => Ok(value),
        Err(_) => Err(Failure::new(what, -result as i32)),
    }
}

/// A path as the kernel takes it.
fn terminated(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(path.len() + 1);
    text.extend_from_slice(path);
    text.push(0);
    text
}

pub fn exit(code: i32) -> ! {
    loop {
        call(number::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]);
    }
}

/// Takes memory.
pub fn map(size: usize) -> Option<usize> {
    // Readable and writable; private and anonymous.
    let address = call(number::MMAP, [0, size, 3, 0x22, usize::MAX, 0]);
    usize::try_from(address).ok()
}

/// An open file.
pub struct File(usize);

impl Drop for File {
    fn drop(&mut self) {
        call(number::CLOSE, [self.0, 0, 0, 0, 0, 0]);
    }
}

fn open(path: &[u8], flags: usize, mode: usize) -> Outcome<File> {
    let name = terminated(path);
    let args = [AT_FDCWD, name.as_ptr() as usize, flags | O_CLOEXEC, mode, 0, 0];
    checked(path, call(number::OPENAT, args)).map(File)
}

/// Opens a file so that the time of its last access stays, where the kernel allows that.
pub fn open_unnoted(path: &[u8]) -> Outcome<File> {
    match open(path, O_NOFOLLOW | O_NOATIME, 0) {
        Err(failure) if failure.is(EPERM) => open(path, O_NOFOLLOW, 0),
        other => other,
    }
}

/// Reads until `buffer` is full or the file ends.
pub fn fill(from: &File, buffer: &mut [u8]) -> Outcome<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(from, &mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

pub fn write_all(to: usize, mut bytes: &[u8]) -> Outcome<()> {
    while !bytes.is_empty() {
        let args = [to, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
        let written = checked(b"write", call(number::WRITE, args))?;
        bytes = &bytes[written..];
    }
    Ok(())
}

fn read(from: &File, buffer: &mut [u8]) -> Outcome<usize> {
    let args = [from.0, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
    checked(b"read", call(number::READ, args))
}

pub fn read_file(path: &[u8]) -> Outcome<Vec<u8>> {
    let file = open(path, 0, 0)?;
    let mut content = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match read(&file, &mut buffer)? {
            0 => return Ok(content),
            count => content.extend_from_slice(&buffer[..count]),
        }
    }
}

pub fn write_file(path: &[u8], content: &[u8]) -> Outcome<()> {
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o644)?;
    write_all(file.0, content)
}

/// Copies a file's content, sharing it on disk where the file system can.
pub fn copy_content(from: &[u8], to: &[u8]) -> Outcome<()> {
    let source = open_unnoted(from)?;
    let target = open(to, O_WRONLY | O_CREAT | O_EXCL, 0o600)?;
    let mut any = false;
    loop {
        let args = [source.0, 0, target.0, 0, 1 << 30, 0];
        match call(number::COPY_FILE_RANGE, args) {
            count if count > 0 => any = true,
            // Some file systems answer 0 for what they do not support.
            0 if any => return Ok(()),
            _ => break,
        }
    }
    let mut buffer = alloc::vec![0; 1 << 17];
    loop {
        match read(&source, &mut buffer)? {
            0 => return Ok(()),
            count => write_all(target.0, &buffer[..count])?,
        }
    }
}

/// The names in a directory, without `.` and `..`.
pub fn list(path: &[u8]) -> Outcome<Vec<Vec<u8>>> {
    let directory = open(path, O_DIRECTORY | O_NOFOLLOW, 0)?;
    let mut names = Vec::new();
    let mut buffer = alloc::vec![0_u8; 1 << 15];
    loop {
        let args = [directory.0, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
        let count = checked(path, call(number::GETDENTS64, args))?;
        if count == 0 {
            return Ok(names);
        }
        let mut at = 0;
        while at < count {
            // inode (8), offset (8), length of the record (2), type (1), name, zero.
            let length = usize::from(u16::from_ne_bytes([buffer[at + 16], buffer[at + 17]]));
            let name = buffer[at + 19..at + length].split(|byte| *byte == 0).next();
            let name = name.unwrap_or_default();
            if name != b"." && name != b".." {
                names.push(name.into());
            }
            at += length;
        }
    }
}

/// What the kernel says of a file; the layout is the kernel's.
#[repr(C)]
pub struct Status {
    mask: u32,
    block: u32,
    attributes: u64,
    pub links: u32,
    pub user: u32,
    pub group: u32,
    pub mode: u16,
    pad: u16,
    pub inode: u64,
    pub size: u64,
    blocks: u64,
    attributes_mask: u64,
    pub accessed: Time,
    born: Time,
    pub changed: Time,
    pub modified: Time,
    pub device: [u32; 2],
    rest: [u64; 15],
}

/// A time of a file; the layout is the kernel's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Time {
    pub seconds: i64,
    pub nanos: u32,
    pad: i32,
}

pub fn status(path: &[u8]) -> Outcome<Status> {
    let name = terminated(path);
    let mut found = core::mem::MaybeUninit::<Status>::zeroed();
    let place = found.as_mut_ptr() as usize;
    // The basic fields.
    let args = [AT_FDCWD, name.as_ptr() as usize, AT_SYMLINK_NOFOLLOW, 0x7ff, place, 0];
    checked(path, call(number::STATX, args))?;
    // SAFETY: all bytes are zero or the kernel's, and every field takes any bytes.
    Ok(unsafe { found.assume_init() })
}

pub fn read_link(path: &[u8]) -> Outcome<Vec<u8>> {
    let name = terminated(path);
    let mut buffer = alloc::vec![0_u8; 4096];
    let args = [AT_FDCWD, name.as_ptr() as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0];
    let count = checked(path, call(number::READLINKAT, args))?;
    buffer.truncate(count);
    Ok(buffer)
}

pub fn make_directory(path: &[u8], mode: usize) -> Outcome<()> {
    let name = terminated(path);
    let args = [AT_FDCWD, name.as_ptr() as usize, mode, 0, 0, 0];
    checked(path, call(number::MKDIRAT, args)).map(drop)
}

pub fn make_link(path: &[u8], target: &[u8]) -> Outcome<()> {
    let (name, target) = (terminated(path), terminated(target));
    let args = [target.as_ptr() as usize, AT_FDCWD, name.as_ptr() as usize, 0, 0, 0];
    checked(path, call(number::SYMLINKAT, args)).map(drop)
}

pub fn make_pipe(path: &[u8], mode: u16) -> Outcome<()> {
    let name = terminated(path);
    let args = [AT_FDCWD, name.as_ptr() as usize, mode.into(), 0, 0, 0];
    checked(path, call(number::MKNODAT, args)).map(drop)
}

/// Gives a file another name.
pub fn link(known: &[u8], path: &[u8]) -> Outcome<()> {
    let (from, to) = (terminated(known), terminated(path));
    let args = [AT_FDCWD, from.as_ptr() as usize, AT_FDCWD, to.as_ptr() as usize, 0, 0];
    checked(path, call(number::LINKAT, args)).map(drop)
}

/// Gives `path` the owner, mode and times of `of`; `accessed` stands for its last access.
pub fn set_status(path: &[u8], of: &Status, accessed: Option<i64>) -> Outcome<()> {
    let name = terminated(path);
    let place = name.as_ptr() as usize;
    let owner = [AT_FDCWD, place, of.user as usize, of.group as usize, AT_SYMLINK_NOFOLLOW, 0];
    checked(path, call(number::FCHOWNAT, owner))?;
    if of.mode & 0o170_000 != 0o120_000 {
        let mode = usize::from(of.mode & 0o7777);
        checked(path, call(number::FCHMODAT, [AT_FDCWD, place, mode, 0, 0, 0]))?;
    }
    let access = accessed.unwrap_or(of.accessed.seconds);
    let times = [access, 0, of.modified.seconds, i64::from(of.modified.nanos)];
    let args = [AT_FDCWD, place, times.as_ptr() as usize, AT_SYMLINK_NOFOLLOW, 0, 0];
    checked(path, call(number::UTIMENSAT, args)).map(drop)
}
