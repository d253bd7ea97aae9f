//! A list of GPUs by number or identifier, and how its runtime picks by it.

use super::Absence;
use super::words::{MOST, decimal, said, shown, words};
use crate::error::{Error, Result};

/// What a list's own program does with an entry that is not there, and with one that is named twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectionRule {
    /// The first that is not there ends the list; one named twice makes it empty.
    Cuda,
    /// Either ends the list.
    Rocr,
    /// The first that is not there ends the list; an identifier is any part of one, and the first GPU with it counts.
    Hip,
    /// The others count. The numbers are the node's: a container that shows fewer GPUs shows those.
    Node,
    /// The others count.
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

    /// Whose GPUs it lists: CUDA's variable concerns two vendors, who read it differently.
    fn whose(self) -> &'static str {
        match self {
            SelectionRule::Cuda => " of NVIDIA's",
            SelectionRule::Rocr | SelectionRule::Hip => " of AMD's",
            SelectionRule::Node | SelectionRule::Option => "",
        }
    }

    /// What helps where it stops at the first word.
    fn cure(self) -> &'static str {
        match self {
            SelectionRule::Hip => {
                "write numbers or UUIDs of AMD's GPUs with commas between, in HIP_VISIBLE_DEVICES where \
                CUDA_VISIBLE_DEVICES is meant for NVIDIA's"
            }
            _ => "write indices or UUIDs with commas between, or unset the variable",
        }
    }
}

/// A list of GPUs and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    said_by: String,
    entries: Vec<SelectionEntry>,
    rule: SelectionRule,
    /// The word at which the runtime stops, where it cannot read that.
    cut: Option<String>,
}

/// One word of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectionEntry {
    /// From the first number to the last.
    Indices(usize, usize),
    /// The beginning of an identifier, and how it was written.
    Id { begins: String, written: String },
}

/// A GPU picked, by its place among those offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Its place.
    pub place: usize,
    /// The identifiers it was asked for by: several where it is asked for in parts.
    pub ids: Vec<String>,
}

impl Picked {
    /// All of the GPU at a place.
    pub fn whole(place: usize) -> Picked {
        Picked { place, ids: Vec::new() }
    }
}

/// The list of the option `devices`: indices, ranges and identifiers; a part of a GPU means the GPU.
pub fn of_option(name: &str, value: &str) -> Result<List> {
    let refuse = || {
        let allowed = "expected indices, UUIDs (GPU-…) or MIG ids (MIG-…) with commas between";
        Error::invalid(format!("{name}='{value}': {allowed}"))
    };
    let entries: Option<Vec<SelectionEntry>> =
        value.split(',').map(|word| SelectionEntry::of_node(word.trim())).collect();
    let entries = entries.filter(|all| all.iter().all(SelectionEntry::is_possible)).ok_or_else(refuse)?;
    Ok(List::new((name, value), entries, SelectionRule::Option))
}

impl List {
    /// A list that its program reads to the end.
    pub fn new((name, value): (&str, &str), entries: Vec<SelectionEntry>, rule: SelectionRule) -> List {
        List { said_by: said(name, value), entries, rule, cut: None }
    }

    /// A list whose words are read one by one up to the first that gives None.
    pub fn read(from: (&str, &str), rule: SelectionRule, entry: impl Fn(&str) -> Option<SelectionEntry>) -> List {
        let mut list = List::new(from, Vec::new(), rule);
        for word in words(from.1) {
            match entry(word) {
                Some(entry) if entry.is_possible() => list.entries.push(entry),
                // No GPU has such a number, which schedulers use to say so: 10000 is HTCondor's.
                Some(_) if list.entries.is_empty() => break,
                Some(entry) => {
                    list.entries.push(entry);
                    break;
                }
                None => {
                    list.cut = Some(shown(word)).filter(|_| !is_an_end(word));
                    break;
                }
            }
        }
        list
    }

    /// Why this list holds no GPU, where it holds none.
    pub fn absence(&self) -> Option<Absence> {
        if !self.entries.is_empty() {
            return None;
        }
        let (said_by, whose) = (&self.said_by, self.rule.whose());
        Some(match &self.cut {
            None => Absence { reason: format!("{said_by}: this job has no GPU{whose}"), cure: None },
            Some(word) => Absence {
                reason: format!(
                    "{said_by}: '{word}' names no GPU, and {} reads no further: this job has no GPU{whose}",
                    self.rule.reader()
                ),
                cure: Some(self.rule.cure().into()),
            },
        })
    }

    /// Whether it has numbers.
    pub fn has_indices(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry, SelectionEntry::Indices(..)))
    }

    /// Picks from those that the lists before it left; `before` is the last of these lists.
    pub fn pick(
        &self,
        from: Vec<Picked>,
        offered: &[Vec<String>],
        before: Option<&List>,
        missing: &mut Vec<String>,
    ) -> Vec<Picked> {
        if self.numbers_more_than(from.len()) {
            return from;
        }
        let (mut picked, mut lost) = (Vec::<Picked>::new(), Vec::new());
        let is_strict = !matches!(self.rule, SelectionRule::Node | SelectionRule::Option);
        let mut is_ended = false;
        for entry in &self.entries {
            let (found, not_there) = entry.find(&from, offered, self.rule);
            let id = entry.id();
            for one in found {
                let Some(known) = picked.iter_mut().find(|other| other.place == one.place) else {
                    picked.push(Picked { place: one.place, ids: one.ids.iter().chain(&id).cloned().collect() });
                    continue;
                };
                let is_another_part = id.as_ref().is_some_and(|id| id.starts_with("MIG-") && !known.ids.contains(id));
                match self.rule {
                    SelectionRule::Cuda if !is_another_part => {
                        missing.push(format!(
                            "{}: CUDA shows no GPU where one is named twice ({})",
                            entry.shown(),
                            self.said_by
                        ));
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
        missing.extend(self.in_words(&lost, before.map(|list| (from.len(), list))));
        let cut = self.cut.as_ref().filter(|_| !is_ended);
        let (reader, said_by) = (self.rule.reader(), &self.said_by);
        missing.extend(cut.map(|word| format!("'{word}' names no GPU, and {reader} reads no further ({said_by})")));
        picked
    }

    /// Whether the numbers are those of a node of which this container shows fewer GPUs: just the ones meant.
    fn numbers_more_than(&self, shown: usize) -> bool {
        let count = self.entries.iter().fold(0_usize, |sum, entry| sum.saturating_add(entry.count()));
        let is_beyond = |entry: &SelectionEntry| matches!(entry, SelectionEntry::Indices(_, last) if *last >= shown);
        self.rule == SelectionRule::Node
            && count == shown
            && self.entries.iter().all(SelectionEntry::is_possible)
            && self.entries.iter().any(is_beyond)
    }

    /// A message for what is not there.
    fn in_words(&self, lost: &[String], before: Option<(usize, &List)>) -> Option<String> {
        const NAMED: usize = 4;
        let more = lost.len().saturating_sub(NAMED);
        let mut names = lost.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        if more > 0 {
            names += &format!(" and {more} more");
        }
        let verb = if lost.len() == 1 && !names.contains(" to ") { "is" } else { "are" };
        let place = match before {
            Some((left, list)) => format!("not among the {left} that {} leaves", list.said_by),
            None => "not on this machine".into(),
        };
        (!lost.is_empty()).then(|| format!("{names} {verb} {place} ({})", self.said_by))
    }
}

/// Whether a word is the usual way to end a list: nothing, or a number below 0.
fn is_an_end(word: &str) -> bool {
    let word = word.trim();
    word.is_empty() || word.starts_with('-') || ["none", "NoDevFiles"].iter().any(|end| end.eq_ignore_ascii_case(word))
}

impl SelectionEntry {
    /// A single number.
    pub fn index(index: usize) -> SelectionEntry {
        SelectionEntry::Indices(index, index)
    }

    /// An identifier.
    pub fn id_of(begins: &str, written: &str) -> SelectionEntry {
        SelectionEntry::Id { begins: begins.to_owned(), written: shown(written) }
    }

    /// A word of those who number the GPUs of a node: an index, "0-3", "0.1" or "0:1" (a part: its GPU), or an
    /// identifier.
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

    /// "GPU-…" or "MIG-…", or the older form of the latter: MIG-GPU-UUID/GPU instance/compute instance.
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

    /// Whether a node may have it.
    fn is_possible(&self) -> bool {
        !matches!(self, SelectionEntry::Indices(_, last) if *last >= MOST)
    }

    /// The number of GPUs it names.
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

    /// Those of `from` that it names, and what of it is not there.
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
                let is_it = |one: &Picked| offered.get(one.place).is_some_and(has_it);
                let first = from.iter().position(is_it);
                // Two that begin alike: it is unknown which is meant.
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
