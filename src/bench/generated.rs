//! Contexts and Dockerfiles that scenarios make instead of using the project's.
use std::fmt::Write as _;
use std::path::Path;

use super::scenario::Generate;
use super::work::{Work, WorkError};

/// Files in one folder of a generated context.
const FILES_A_FOLDER: u32 = 250;
/// Steps in one stage of a generated Dockerfile; overlay mounts bound the depth of a stage.
const STEPS_A_STAGE: u32 = 100;

/// Makes the context in `folder`, unless it is there.
///
/// # Errors
///
/// When a file cannot be written.
pub fn make(what: Generate, folder: &Path) -> Result<Work, WorkError> {
    let context = folder.join("context");
    let dockerfile = folder.join("Dockerfile");
    if !dockerfile.is_file() {
        let failed = |source| WorkError::File { action: "fill", path: context.clone(), source };
        fs_err::create_dir_all(&context).map_err(failed)?;
        let text = match what {
            Generate::Files(count) => files(&context, count).map_err(failed)?,
            Generate::Bytes(size) => one_file(&context, size).map_err(failed)?,
            Generate::Steps(count) => steps(count),
        };
        // Written last: its presence says that all is there.
        fs_err::write(&dockerfile, text).map_err(failed)?;
    }
    Ok(Work {
        context,
        dockerfile,
        target: None,
        build_args: Vec::new(),
        contexts: Vec::new(),
        secrets: Vec::new(),
    })
}

const COPY_ALL: &str = "FROM scratch\nCOPY . /\n";

/// Small files of different sizes, as in a source tree.
fn files(context: &Path, count: u32) -> std::io::Result<String> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut content = Vec::new();
    for number in 0..count {
        let folder = context.join(format!("folder-{:03}", number / FILES_A_FOLDER));
        if number % FILES_A_FOLDER == 0 {
            fs_err::create_dir_all(&folder)?;
        }
        content.clear();
        let words = 8 + usize::try_from(random.next() % 248).unwrap_or(8);
        content.extend((0..words).flat_map(|_| random.next().to_le_bytes()));
        fs_err::write(folder.join(format!("file-{number:06}.txt")), &content)?;
    }
    Ok(COPY_ALL.to_owned())
}

fn one_file(context: &Path, size: u64) -> std::io::Result<String> {
    use std::io::Write as _;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut file = std::io::BufWriter::with_capacity(
        1 << 20,
        fs_err::File::create(context.join("large.bin"))?,
    );
    for _ in 0..size / 8 {
        file.write_all(&random.next().to_le_bytes())?;
    }
    let rest = usize::try_from(size % 8).unwrap_or(0);
    file.write_all(&[0; 8][..rest])?;
    file.flush()?;
    Ok(COPY_ALL.to_owned())
}

/// Stages that depend on nothing, and a last one that takes something from each.
fn steps(count: u32) -> String {
    let mut text = String::new();
    let stages = count.div_ceil(STEPS_A_STAGE).max(1);
    for stage in 0..stages {
        let _ = writeln!(text, "FROM scratch AS s{stage}");
        let own = STEPS_A_STAGE.min(count - stage * STEPS_A_STAGE).saturating_sub(1).max(1);
        for step in 0..own {
            let _ = writeln!(text, "WORKDIR /stage-{stage}/step-{step}");
        }
    }
    text.push_str("FROM scratch\n");
    for stage in 0..stages {
        let _ = writeln!(text, "COPY --link --from=s{stage} /stage-{stage}/step-0 /stage-{stage}");
    }
    text
}

/// The same numbers in every run, so that two runs compare.
struct Random(u64);

impl Random {
    /// Xorshift.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_have_the_size_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let work = make(Generate::Files(300), &folder.path().join("files")).unwrap();
        let folders = fs_err::read_dir(&work.context).unwrap().count();
        assert_eq!(folders, 2);
        let work = make(Generate::Bytes(1003), &folder.path().join("bytes")).unwrap();
        let length = fs_err::metadata(work.context.join("large.bin")).unwrap().len();
        assert_eq!(length, 1003);
        let work = make(Generate::Steps(250), &folder.path().join("steps")).unwrap();
        let dockerfile = work.parse().unwrap();
        let count: usize = dockerfile.stages.iter().map(|stage| stage.instructions.len()).sum();
        assert_eq!((dockerfile.stages.len(), count), (4, 250));
    }
}
