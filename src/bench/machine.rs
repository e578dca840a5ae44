//! Where samples are taken: what the results say of the machine.
use super::report::Machine;

impl Machine {
    /// Describes this machine, now.
    #[must_use]
    pub fn measure() -> Self {
        let info = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_owned())
        });
        let memory = rustix::system::sysinfo();
        let now = jiff::Timestamp::now();
        Self {
            processor: model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: memory.totalram as u64 * u64::from(memory.mem_unit),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            date: jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string(),
        }
    }
}

/// The load average over one minute.
#[must_use]
pub fn load() -> f64 {
    let text = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}
