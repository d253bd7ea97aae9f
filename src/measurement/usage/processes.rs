//! The processes of a job: those that measure, their descendants, and those that the batch system's variables name.

use crate::measurement::reading::Fault;
use crate::os;
use std::collections::HashMap;
use std::path::PathBuf;

/// Most processes that are looked at.
const MAX_PROCESSES: usize = 1 << 17;
/// Most steps from a process up to its ancestors.
const MAX_DEPTH: usize = 64;

/// Follows the processes of a job.
pub struct JobProcesses {
    proc: PathBuf,
    /// The variables that name the job. A process that has all of them belongs to it.
    variables: Vec<(String, String)>,
    /// The processes at the last reading, by number.
    known: HashMap<u32, KnownProcess>,
    /// Processor time of ended processes that no parent took over, ticks.
    ended: u64,
    /// The newest sum, ticks. It never falls.
    newest: u64,
    has_read: bool,
}

/// What the processes of a job use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessTotals {
    /// Processor time so far, ticks.
    pub ticks: u64,
    /// Resident memory, bytes. Memory that several processes share counts for each.
    pub resident_bytes: f64,
}

/// A process at the last reading.
#[derive(Clone, Copy)]
struct KnownProcess {
    stat: ProcessStat,
    is_in_job: bool,
    /// The time that it had used before the job or the reading began, ticks.
    before: u64,
}

impl KnownProcess {
    /// Its time that counts for the job, ticks.
    fn counted(&self) -> u64 {
        self.stat.ticks.saturating_sub(self.before)
    }
}

/// The fields of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ProcessStat {
    parent: u32,
    /// When it began, ticks since the machine did. It distinguishes processes that had one number.
    started: u64,
    /// Processor time of the process and of the children that it waited for, ticks.
    ticks: u64,
    /// Resident memory, pages.
    pages: u64,
}

impl ProcessStat {
    /// Parses the file. The name of the program is in parentheses and may contain any character.
    fn parse(text: &str) -> Option<ProcessStat> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let mut next = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
        let parent = u32::try_from(next(1)?).ok()?;
        let times = [next(9)?, next(0)?, next(0)?, next(0)?];
        let (started, pages) = (next(4)?, next(1)?);
        let ticks = times.into_iter().fold(0, u64::saturating_add);
        Some(ProcessStat { parent, started, ticks, pages })
    }
}

impl JobProcesses {
    /// Looks for processes below this `/proc`.
    pub fn new(proc: PathBuf, variables: Vec<(String, String)>) -> JobProcesses {
        JobProcesses { proc, variables, known: HashMap::new(), ended: 0, newest: 0, has_read: false }
    }

    /// Reads what the job uses. `members`: its processes that measure.
    ///
    /// A parent that waits for an ended child takes over the child's time. The time of another ended process is kept
    /// here, as far as it was read.
    pub fn read(&mut self, members: &[u32]) -> Result<ProcessTotals, Fault> {
        let stats = self.stats();
        if stats.is_empty() {
            return Err(Fault::Gone);
        }
        let mut is_in_job: HashMap<u32, bool> = HashMap::new();
        for &process in stats.keys() {
            self.decide(process, &stats, members, &mut is_in_job);
        }
        let is_new = |process: &u32, stat: &ProcessStat| {
            self.known.get(process).is_none_or(|known| known.stat.started != stat.started)
        };
        let now: HashMap<u32, KnownProcess> = stats
            .iter()
            .map(|(process, stat)| {
                let is_in_job = is_in_job.get(process) == Some(&true);
                let known = self.known.get(process).filter(|_| !is_new(process, stat));
                let before = match known {
                    Some(known) if known.is_in_job => known.before,
                    Some(known) => known.stat.ticks,
                    None if self.has_read => 0,
                    None => stat.ticks,
                };
                (*process, KnownProcess { stat: *stat, is_in_job, before })
            })
            .collect();
        let is_there = |process: &u32, started: u64| now.get(process).is_some_and(|one| one.stat.started == started);
        let gone = self.known.iter().filter(|(process, one)| one.is_in_job && !is_there(process, one.stat.started));
        let left = gone.filter(|(_, one)| !self.is_taken_over(one, &now)).map(|(_, one)| one.counted());
        self.ended += left.sum::<u64>();
        self.has_read = true;
        self.known = now;
        let ours = || self.known.values().filter(|one| one.is_in_job);
        self.newest = self.newest.max(self.ended + ours().map(KnownProcess::counted).sum::<u64>());
        let pages: u64 = ours().map(|one| one.stat.pages).sum();
        Ok(ProcessTotals { ticks: self.newest, resident_bytes: pages as f64 * os::page_bytes() as f64 })
    }

    /// The numbers of the job's processes at the last reading.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.known.iter().filter(|(_, one)| one.is_in_job).map(|(number, _)| *number)
    }

    /// Whether a living ancestor in the job has the time of an ended process. Its ended ancestors are thought to have
    /// waited for it.
    fn is_taken_over(&self, ended: &KnownProcess, now: &HashMap<u32, KnownProcess>) -> bool {
        let mut parent = ended.stat.parent;
        for _ in 0..MAX_DEPTH {
            let Some(known) = self.known.get(&parent).filter(|known| known.is_in_job) else { return false };
            if now.get(&parent).is_some_and(|one| one.stat.started == known.stat.started) {
                return true;
            }
            parent = known.stat.parent;
        }
        false
    }

    fn stats(&self) -> HashMap<u32, ProcessStat> {
        let number = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
        let folders = os::text::entries(&self.proc).filter_map(|folder| Some((number(&folder)?, folder)));
        let stat = |(process, folder): (u32, PathBuf)| {
            let text = os::text::beginning(&folder.join("stat"), os::text::MAX_SYS_BYTES).ok()?;
            Some((process, ProcessStat::parse(&String::from_utf8_lossy(&text))?))
        };
        folders.take(MAX_PROCESSES).filter_map(stat).collect()
    }

    /// Decides whether a process and its ancestors belong to the job.
    fn decide(
        &self,
        process: u32,
        stats: &HashMap<u32, ProcessStat>,
        members: &[u32],
        decided: &mut HashMap<u32, bool>,
    ) {
        let (mut chain, mut next) = (Vec::new(), process);
        let verdict = loop {
            if let Some(&known) = decided.get(&next) {
                break known;
            }
            let Some(stat) = stats.get(&next).filter(|_| chain.len() < MAX_DEPTH) else { break false };
            chain.push(next);
            if members.contains(&next) || self.is_known_or_named(next, stat) {
                break true;
            }
            next = stat.parent;
        };
        chain.into_iter().for_each(|one| {
            decided.insert(one, verdict);
        });
    }

    /// Whether a process was in the job before, or has the job's variables. The variables are read once.
    fn is_known_or_named(&self, process: u32, stat: &ProcessStat) -> bool {
        match self.known.get(&process).filter(|known| known.stat.started == stat.started) {
            Some(known) => known.is_in_job,
            None => !self.variables.is_empty() && self.is_named(process),
        }
    }

    fn is_named(&self, process: u32) -> bool {
        let path = self.proc.join(process.to_string()).join("environ");
        let Ok(environment) = os::text::beginning(&path, os::text::MAX_PROC_BYTES) else { return false };
        let entries: Vec<&[u8]> = environment.split(|&byte| byte == 0).collect();
        self.variables.iter().all(|(name, value)| entries.contains(&format!("{name}={value}").as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A /proc of files: process, parent, begin and ticks of each.
    struct FakeProc(PathBuf);

    impl FakeProc {
        fn new(name: &str) -> FakeProc {
            let folder = std::env::temp_dir().join(format!("ct-processes-{name}-{}", os::process_id()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).expect("a folder");
            FakeProc(folder)
        }

        fn put(&self, process: u32, parent: u32, ticks: u64) {
            let folder = self.0.join(process.to_string());
            std::fs::create_dir_all(&folder).expect("a folder");
            let stat = format!("{process} (a) b) S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {process} 9 3 0");
            std::fs::write(folder.join("stat"), stat).expect("a file");
        }

        /// Puts processes: number, parent and ticks of each.
        fn put_all(&self, processes: &[(u32, u32, u64)]) {
            processes.iter().for_each(|&(process, parent, ticks)| self.put(process, parent, ticks));
        }

        fn end(&self, process: u32) {
            let _ = std::fs::remove_dir_all(self.0.join(process.to_string()));
        }
    }

    impl Drop for FakeProc {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn ticks(job: &mut JobProcesses, members: &[u32]) -> u64 {
        job.read(members).expect("processes").ticks
    }

    #[test]
    fn fields_are_read_after_the_name() {
        let text = "12 (a) S 7) S 5 1 1 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 777 9 3 18446744073709551615";
        let expected = ProcessStat { parent: 5, started: 777, ticks: 100, pages: 3 };
        assert_eq!(ProcessStat::parse(text), Some(expected));
        assert_eq!(ProcessStat::parse("12 (a) S 5"), None);
        assert_eq!(ProcessStat::parse(""), None);
    }

    #[test]
    fn descendants_count_and_strangers_do_not() {
        let (proc, members) = (FakeProc::new("tree"), [10]);
        proc.put_all(&[(1, 0, 900), (10, 1, 50), (11, 10, 5), (12, 11, 5), (20, 1, 70)]);
        let mut job = JobProcesses::new(proc.0.clone(), Vec::new());
        assert_eq!(ticks(&mut job, &members), 0, "time before the first reading does not count");
        proc.put_all(&[(10, 1, 60), (12, 11, 25), (20, 1, 900)]);
        proc.put(13, 12, 7);
        assert_eq!(ticks(&mut job, &members), 10 + 20 + 7);
        assert_eq!(job.read(&members).map(|totals| totals.resident_bytes), Ok(12.0 * os::page_bytes() as f64));
    }

    #[test]
    fn time_of_an_ended_process_counts_once() {
        let (proc, members) = (FakeProc::new("ended"), [10]);
        proc.put_all(&[(1, 0, 0), (10, 1, 0), (11, 10, 0), (12, 11, 0)]);
        let mut job = JobProcesses::new(proc.0.clone(), Vec::new());
        ticks(&mut job, &members);
        proc.put_all(&[(11, 10, 40), (12, 11, 30)]);
        assert_eq!(ticks(&mut job, &members), 70);
        // 12 ends, and 11 waits for it. Then 11 ends, and 10 waits for it.
        proc.end(12);
        proc.put(11, 10, 72);
        assert_eq!(ticks(&mut job, &members), 72);
        proc.end(11);
        proc.put(10, 1, 75);
        assert_eq!(ticks(&mut job, &members), 75);
        // The member itself ends: no process of the job waits for it.
        proc.end(10);
        assert_eq!(ticks(&mut job, &[]), 75);
    }

    #[test]
    fn time_of_a_tree_that_ended_at_once_counts_once() {
        let (proc, members) = (FakeProc::new("tree-ended"), [10]);
        proc.put_all(&[(1, 0, 0), (10, 1, 0), (11, 10, 0), (12, 11, 0)]);
        let mut job = JobProcesses::new(proc.0.clone(), Vec::new());
        ticks(&mut job, &members);
        proc.put_all(&[(11, 10, 40), (12, 11, 30)]);
        ticks(&mut job, &members);
        proc.end(11);
        proc.end(12);
        proc.put(10, 1, 74);
        assert_eq!(ticks(&mut job, &members), 74);
    }

    #[test]
    fn orphan_stays_in_the_job() {
        let (proc, members) = (FakeProc::new("orphan"), [10]);
        proc.put_all(&[(1, 0, 0), (10, 1, 0), (11, 10, 0), (12, 11, 0)]);
        let mut job = JobProcesses::new(proc.0.clone(), Vec::new());
        ticks(&mut job, &members);
        proc.end(11);
        proc.put(12, 1, 33);
        assert_eq!(ticks(&mut job, &members), 33);
    }

    #[test]
    fn reused_number_is_a_new_process() {
        let (proc, members) = (FakeProc::new("reused"), [10]);
        proc.put_all(&[(1, 0, 0), (10, 1, 0), (11, 10, 0)]);
        let mut job = JobProcesses::new(proc.0.clone(), Vec::new());
        ticks(&mut job, &members);
        let stat = "11 (x) S 1 1 1 0 -1 0 0 0 0 0 5000 0 0 0 20 0 1 0 99999 9 3 0";
        std::fs::write(proc.0.join("11/stat"), stat).expect("a file");
        assert_eq!(ticks(&mut job, &members), 0, "a stranger has the number now");
    }

    #[test]
    fn processes_with_the_jobs_variables_count() {
        let proc = FakeProc::new("named");
        proc.put_all(&[(1, 0, 0), (30, 1, 8), (31, 30, 0), (40, 1, 8)]);
        let environment = |process: u32, text: &str| {
            std::fs::write(proc.0.join(process.to_string()).join("environ"), text).expect("a file");
        };
        environment(30, "A=1\0SLURM_JOB_ID=7\0B=2\0");
        environment(40, "SLURM_JOB_ID=77\0");
        let variables = vec![("SLURM_JOB_ID".to_owned(), "7".to_owned())];
        let mut job = JobProcesses::new(proc.0.clone(), variables);
        ticks(&mut job, &[]);
        proc.put_all(&[(30, 1, 18), (31, 30, 5), (40, 1, 108)]);
        assert_eq!(ticks(&mut job, &[]), 15);
    }

    proptest! {
        #[test]
        fn any_text_is_no_fault(text in ".{0,200}") {
            let _ = ProcessStat::parse(&text);
        }
    }
}
