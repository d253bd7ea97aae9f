//! A list of GPUs by number or identifier, and how its runtime picks from the GPUs.

use super::Absence;
use super::words::{MAX_NUMBER, assignment, decimal, shown, words};
use crate::error::{Error, Result};

/// How the list's own program treats an entry without a GPU, and a GPU that is named twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectionRule {
    /// An entry without a GPU ends the list. A GPU named twice makes the list empty.
    Cuda,
    /// An entry without a GPU ends the list. So does a GPU named twice.
    Rocr,
    /// An entry without a GPU ends the list. An identifier may be any part of a UUID, and the first GPU with it counts.
    Hip,
    /// An entry without a GPU is ignored. The numbers are the node's: a container with fewer GPUs has those of the
    /// list.
    Node,
    /// An entry without a GPU is ignored.
    Option,
}

impl SelectionRule {
    /// The program that reads the list.
    fn reader(self) -> &'static str {
        match self {
            SelectionRule::Cuda => "CUDA",
            SelectionRule::Rocr => "ROCm",
            SelectionRule::Hip => "HIP",
            SelectionRule::Node | SelectionRule::Option => "carbontracker",
        }
    }

    /// The vendor of the listed GPUs, for messages: two vendors read CUDA's variable by different rules.
    fn vendor(self) -> &'static str {
        match self {
            SelectionRule::Cuda => " from NVIDIA",
            SelectionRule::Rocr | SelectionRule::Hip => " from AMD",
            SelectionRule::Node | SelectionRule::Option => "",
        }
    }

    /// The fix for a list that ends at its first word.
    fn cure(self) -> &'static str {
        match self {
            SelectionRule::Hip => {
                "write numbers or UUIDs of AMD's GPUs with commas between them, in HIP_VISIBLE_DEVICES if \
                CUDA_VISIBLE_DEVICES is meant for NVIDIA's"
            }
            _ => "write indices or UUIDs with commas between them, or unset the variable",
        }
    }
}

/// A list of GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The variable or option and its value, for messages.
    origin: String,
    entries: Vec<SelectionEntry>,
    rule: SelectionRule,
    /// The word at which the runtime stops because it cannot read it. None: the runtime reads all words.
    unreadable: Option<String>,
}

/// One word of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectionEntry {
    /// The first and the last number of a range.
    Indices(usize, usize),
    /// The beginning of an identifier, and its text in the list.
    Id { begins: String, written: String },
}

/// A GPU that was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The GPU's index in the offered list.
    pub index: usize,
    /// The identifiers by which it was selected. It may have several, one for each part.
    pub ids: Vec<String>,
}

impl Picked {
    /// The whole GPU with this index.
    pub fn whole(index: usize) -> Picked {
        Picked { index, ids: Vec::new() }
    }
}

/// Reads the option `devices`: indices, ranges and identifiers. A part of a GPU selects the GPU. `name` is the name
/// under which the user set the option. Fails if the value cannot be read.
pub fn of_option(name: &str, value: &str) -> Result<List> {
    let refuse = || {
        let allowed = "expected indices, UUIDs (GPU-…) or MIG ids (MIG-…), with commas between them";
        Error::invalid(format!("{name}='{value}': {allowed}"))
    };
    let entries: Option<Vec<SelectionEntry>> =
        value.split(',').map(|word| SelectionEntry::of_node(word.trim())).collect();
    let entries = entries.filter(|all| all.iter().all(SelectionEntry::is_possible)).ok_or_else(refuse)?;
    Ok(List::new((name, value), entries, SelectionRule::Option))
}

impl List {
    /// A list of entries that have been read.
    pub fn new((name, value): (&str, &str), entries: Vec<SelectionEntry>, rule: SelectionRule) -> List {
        List { origin: assignment(name, value), entries, rule, unreadable: None }
    }

    /// Reads the words of a list, up to the first for which `entry` returns None.
    pub fn read(from: (&str, &str), rule: SelectionRule, entry: impl Fn(&str) -> Option<SelectionEntry>) -> List {
        let mut list = List::new(from, Vec::new(), rule);
        for word in words(from.1) {
            match entry(word) {
                Some(entry) if entry.is_possible() => list.entries.push(entry),
                // Schedulers use an impossible number for "no GPU": 10000 is HTCondor's.
                Some(_) if list.entries.is_empty() => break,
                Some(entry) => {
                    list.entries.push(entry);
                    break;
                }
                None => {
                    list.unreadable = Some(shown(word)).filter(|_| !is_end(word));
                    break;
                }
            }
        }
        list
    }

    /// Why this list has no GPU. None: it has one.
    pub fn absence(&self) -> Option<Absence> {
        if !self.entries.is_empty() {
            return None;
        }
        let origin = &self.origin;
        let vendor = self.rule.vendor();
        Some(match &self.unreadable {
            None => Absence { reason: format!("{origin}: this job has no GPU{vendor}"), cure: None },
            Some(word) => Absence {
                reason: format!(
                    "{origin}: '{word}' names no GPU, and {} ignores the rest. This job has no GPU{vendor}",
                    self.rule.reader()
                ),
                cure: Some(self.rule.cure().into()),
            },
        })
    }

    /// Whether it selects GPUs by number.
    pub fn has_indices(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, SelectionEntry::Indices(..)))
    }

    /// Picks from the GPUs that the lists before it left. `before` is the last of these lists. Messages about GPUs that
    /// do not exist are added to `missing`.
    pub fn pick(
        &self,
        from: Vec<Picked>,
        offered: &[Vec<String>],
        previous: Option<&List>,
        missing: &mut Vec<String>,
    ) -> Vec<Picked> {
        if self.is_of_the_whole_node(from.len()) {
            return from;
        }
        let mut picked = Vec::<Picked>::new();
        let mut lost = Vec::new();
        let is_strict = !matches!(self.rule, SelectionRule::Node | SelectionRule::Option);
        let mut is_ended = false;
        for entry in &self.entries {
            let (found, not_there) = entry.find(&from, offered, self.rule);
            let id = entry.id();
            for one in found {
                let Some(known) = picked.iter_mut().find(|other| other.index == one.index) else {
                    picked.push(Picked { index: one.index, ids: one.ids.iter().chain(&id).cloned().collect() });
                    continue;
                };
                let is_another_part = id.as_ref().is_some_and(|id| id.starts_with("MIG-") && !known.ids.contains(id));
                match self.rule {
                    SelectionRule::Cuda if !is_another_part => {
                        let name = entry.shown();
                        missing.push(format!("{name} is named twice, so CUDA shows no GPU ({})", self.origin));
                        return Vec::new();
                    }
                    SelectionRule::Rocr => is_ended = true,
                    _ => known.ids.extend(id.clone()),
                }
            }
            is_ended |= is_strict && not_there.is_some();
            lost.extend(not_there);
            if is_ended {
                break;
            }
        }
        missing.extend(self.missing_text(&lost, previous.map(|list| (from.len(), list))));
        if let Some(word) = self.unreadable.as_ref().filter(|_| !is_ended) {
            let reader = self.rule.reader();
            missing.push(format!("'{word}' names no GPU, and {reader} ignores the rest ({})", self.origin));
        }
        picked
    }

    /// Whether the numbers are those of the whole node, and the container has just the selected GPUs, `shown` of them.
    fn is_of_the_whole_node(&self, shown: usize) -> bool {
        let count = self.entries.iter().fold(0_usize, |sum, entry| sum.saturating_add(entry.count()));
        let is_beyond = |entry: &SelectionEntry| matches!(entry, SelectionEntry::Indices(_, last) if *last >= shown);
        self.rule == SelectionRule::Node
            && count == shown
            && self.entries.iter().all(SelectionEntry::is_possible)
            && self.entries.iter().any(is_beyond)
    }

    /// The message for GPUs that do not exist. `before` is the number of GPUs that an earlier list left, and that list.
    fn missing_text(&self, lost: &[String], previous: Option<(usize, &List)>) -> Option<String> {
        /// GPUs that a message names.
        const MAX_NAMED: usize = 4;
        if lost.is_empty() {
            return None;
        }
        let more = lost.len().saturating_sub(MAX_NAMED);
        let mut names = lost.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        if more > 0 {
            names += &format!(" and {more} more");
        }
        let verb = if lost.len() == 1 && !names.contains(" to ") { "is" } else { "are" };
        let source = match previous {
            Some((left, list)) => format!("not among the {left} that {} leaves", list.origin),
            None => "not on this machine".into(),
        };
        Some(format!("{names} {verb} {source} ({})", self.origin))
    }
}

/// Whether a word is a usual end of a list: empty, "none", or a number below 0.
fn is_end(word: &str) -> bool {
    let word = word.trim();
    word.is_empty() || word.starts_with('-') || ["none", "NoDevFiles"].iter().any(|end| end.eq_ignore_ascii_case(word))
}

impl SelectionEntry {
    /// A single GPU by number.
    pub fn index(index: usize) -> SelectionEntry {
        SelectionEntry::Indices(index, index)
    }

    /// An identifier that begins with `begins`, with its text in the list.
    pub fn id_of(begins: &str, written: &str) -> SelectionEntry {
        SelectionEntry::Id { begins: begins.to_owned(), written: shown(written) }
    }

    /// Reads a word that numbers the GPUs of a node: an index, "0-3", or an identifier. "0.1" and "0:1" are parts of
    /// GPU 0, and select it.
    pub fn of_node(word: &str) -> Option<SelectionEntry> {
        if word.starts_with("GPU-") || word.starts_with("MIG-") {
            return SelectionEntry::of_nvidia(word);
        }
        if let Some((first, last)) = word.split_once('-') {
            let (first, last) = (decimal(first)?, decimal(last)?);
            return (first <= last).then_some(SelectionEntry::Indices(first, last));
        }
        let (gpu, part) = word.split_once([':', '.']).unwrap_or((word, "0"));
        decimal(part).and(decimal(gpu)).map(SelectionEntry::index)
    }

    /// Reads "GPU-…" or "MIG-…", or the older form "MIG-GPU-UUID/GPU instance/compute instance".
    pub fn of_nvidia(word: &str) -> Option<SelectionEntry> {
        if let Some(old) = word.strip_prefix("MIG-GPU-") {
            let (uuid, instances) = old.split_once('/')?;
            return (!uuid.is_empty() && !instances.is_empty())
                .then(|| SelectionEntry::id_of(&format!("GPU-{uuid}"), word));
        }
        let rest = word.strip_prefix("GPU-").or_else(|| word.strip_prefix("MIG-"))?;
        let is_hexadecimal = |c: char| c.is_ascii_hexdigit() || c == '-';
        (!rest.is_empty() && rest.chars().all(is_hexadecimal)).then(|| SelectionEntry::id_of(word, word))
    }

    /// Whether a node may have such a GPU.
    fn is_possible(&self) -> bool {
        !matches!(self, SelectionEntry::Indices(_, last) if *last >= MAX_NUMBER)
    }

    /// The number of GPUs that it names.
    fn count(&self) -> usize {
        match self {
            SelectionEntry::Indices(first, last) => (last - first).saturating_add(1),
            SelectionEntry::Id { .. } => 1,
        }
    }

    fn id(&self) -> Option<String> {
        match self {
            SelectionEntry::Indices(..) => None,
            SelectionEntry::Id { written, .. } => Some(written.clone()),
        }
    }

    fn shown(&self) -> String {
        match self {
            SelectionEntry::Indices(first, last) if first == last => format!("GPU {first}"),
            SelectionEntry::Indices(first, last) => format!("GPU {first} to {last}"),
            SelectionEntry::Id { written, .. } => written.clone(),
        }
    }

    /// The GPUs of `from` that it names, and the name of those that do not exist.
    fn find<'a>(
        &self,
        from: &'a [Picked],
        offered: &[Vec<String>],
        rule: SelectionRule,
    ) -> (&'a [Picked], Option<String>) {
        match self {
            SelectionEntry::Indices(first, last) => {
                let end = last.saturating_add(1).min(from.len());
                let found = from.get(*first..end).unwrap_or_default();
                let rest = SelectionEntry::Indices((*first).max(from.len()), *last);
                (found, (*last >= from.len()).then(|| rest.shown()))
            }
            SelectionEntry::Id { begins, .. } => {
                let has_it = |ids: &Vec<String>| match rule {
                    SelectionRule::Hip => ids.iter().any(|id| id.contains(begins.as_str())),
                    _ => begins_any(ids, begins),
                };
                let is_it = |one: &Picked| offered.get(one.index).is_some_and(has_it);
                let first = from.iter().position(is_it);
                // If two GPUs begin so, it is unknown which is meant.
                let is_alone = |&at: &usize| rule == SelectionRule::Hip || !from.iter().skip(at + 1).any(is_it);
                let found = first.filter(is_alone).and_then(|at| from.get(at..=at)).unwrap_or_default();
                (found, found.is_empty().then(|| self.shown()))
            }
        }
    }
}

fn begins_any(ids: &[String], beginning: &str) -> bool {
    let begins = |id: &String| id.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning));
    ids.iter().any(begins)
}
