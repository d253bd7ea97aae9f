//! Finds the row of the tables that a text names: by code, cloud region or name, in any case.

use super::tables::{GRIDS, NAMES, REGIONS, STATES, TableRow, ZONES, row, rows};

/// A row of one of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// A country, a Chinese province or the world.
    Zone(TableRow),
    /// A zone of Electricity Maps. It may be a country that the first table lacks.
    Grid(TableRow),
    /// A state of the USA.
    State(TableRow),
    /// A cloud region.
    Region(TableRow),
}

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundName {
    /// The row.
    pub spot: Spot,
    /// Why this row is used for another place. Empty: it is the place itself.
    pub why: &'static str,
}

/// Why a search found no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// The text is in no table.
    Unknown,
    /// The text is ambiguous; the rows.
    Several(Vec<Spot>),
    /// No table has a figure for this place; the reason, if there is more to explain.
    Without(&'static str),
}

impl Spot {
    /// The code of the row.
    pub fn code(self) -> &'static str {
        let (Spot::Zone(row) | Spot::Grid(row) | Spot::State(row) | Spot::Region(row)) = self;
        row.cell(0)
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Spot::Zone(row) => row.cell(2),
            Spot::Grid(row) | Spot::State(row) | Spot::Region(row) => row.cell(1),
        }
    }

    /// The zone of the place. It differs from the code of a cloud region.
    pub fn zone(self) -> &'static str {
        if let Spot::Region(row) = self { row.cell(2) } else { self.code() }
    }

    /// The grid that feeds the place, or most of it.
    pub fn grid(self) -> Option<TableRow> {
        let zone = if let Spot::State(row) = self { row.cell(2).split(' ').next()? } else { self.zone() };
        row(GRIDS, zone)
    }

    /// The alpha-2 code, if the place is a whole country.
    pub fn country(self) -> Option<&'static str> {
        Some(self.code()).filter(|code| code.len() == 2)
    }
}

/// What a text means.
pub fn find(asked: &str) -> Result<FoundName, Unclear> {
    let asked = asked.trim();
    let is_itself = |spot| FoundName { spot, why: "" };
    if let Some(spot) = by_code(&asked.replace('_', "-")) {
        return Ok(is_itself(spot));
    }
    match by_name(asked) {
        Err(Unclear::Unknown) => by_region(asked).map(is_itself),
        clear => clear,
    }
}

/// The zone of a part of a country, by the part's name.
pub fn part(country: &str, name: &str) -> Option<&'static str> {
    let is_within = |code: &str| code.get(..2).is_some_and(|of| of.eq_ignore_ascii_case(country)) && code.len() > 2;
    named(name).into_iter().map(|(code, _)| code).find(|code| is_within(code))
}

fn by_code(code: &str) -> Option<Spot> {
    let alpha3 = || rows(ZONES).find(|row| !code.is_empty() && row.cell(1).eq_ignore_ascii_case(code));
    let zone = row(ZONES, code).or_else(alpha3).map(Spot::Zone);
    zone.or_else(|| row(GRIDS, code).map(Spot::Grid)).or_else(|| row(STATES, code).map(Spot::State))
}

fn by_name(asked: &str) -> Result<FoundName, Unclear> {
    let named = named(asked);
    let found = named.iter().filter_map(|(code, why)| Some(FoundName { spot: by_code(code)?, why }));
    let found: Vec<FoundName> = found.collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(named.first().map_or(Unclear::Unknown, |(_, why)| Unclear::Without(why))),
        _ => Err(Unclear::Several(found.iter().map(|found| found.spot).collect())),
    }
}

/// The codes of all places with this name, and why each is used for it. A code is empty if no table has the place.
fn named(asked: &str) -> Vec<(&'static str, &'static str)> {
    let asked: String = folded(asked).collect();
    let is_requested = |name: &str| folded(name).eq(asked.chars());
    if asked.is_empty() {
        return Vec::new();
    }
    let own = [(ZONES, 2), (GRIDS, 1), (STATES, 1)].into_iter().flat_map(|(table, column)| {
        rows(table).filter(move |row| is_requested(row.cell(column))).map(|row| (row.cell(0), ""))
    });
    let other =
        rows(NAMES).filter(|row| row.cell(0).split('|').any(is_requested)).map(|row| (row.cell(1), row.cell(2)));
    let mut codes: Vec<(&str, &str)> = Vec::new();
    for one in own.chain(other) {
        if codes.iter().all(|(code, _)| *code != one.0) {
            codes.push(one);
        }
    }
    codes
}

/// The letters and digits of a name, without case and accents.
fn folded(name: &str) -> impl Iterator<Item = char> + '_ {
    let and = |letter: char| if letter == '&' { "and" } else { "" };
    let spelled = name.chars().flat_map(move |letter| and(letter).chars().chain(letter.to_lowercase()));
    spelled.map(plain).filter(|letter| letter.is_alphanumeric())
}

fn plain(letter: char) -> char {
    match letter {
        'à'..='å' | 'ā' | 'ă' => 'a',
        'ç' | 'č' | 'ć' => 'c',
        'è'..='ë' | 'ē' | 'ė' => 'e',
        'ì'..='ï' | 'ī' | 'ı' => 'i',
        'ñ' => 'n',
        'ò'..='ö' | 'ø' | 'ō' => 'o',
        'š' => 's',
        'ù'..='ü' | 'ū' => 'u',
        _ => letter,
    }
}

/// A cloud region by its provider and name. The name alone is enough if one provider has it, or if all of them have the
/// same figure. An availability zone is accepted too.
fn by_region(asked: &str) -> Result<Spot, Unclear> {
    let asked: String = asked.chars().filter(|c| *c != ' ').map(|c| if c == '_' { '-' } else { c }).collect();
    let (provider, name) = asked.split_once(':').map_or((None, asked.as_str()), |(one, name)| (Some(one), name));
    let region = |name: &str, any_number: bool| -> Vec<Spot> {
        let is_requested = |row: &TableRow| {
            let (one, region) = row.cell(0).split_once(':').unwrap_or_default();
            // OVH numbers its sites: GRA11 is Gravelines.
            let name =
                if any_number && one == "ovh" { name.trim_end_matches(|c: char| c.is_ascii_digit()) } else { name };
            provider.is_none_or(|provider| provider.eq_ignore_ascii_case(one)) && region.eq_ignore_ascii_case(name)
        };
        rows(REGIONS).filter(is_requested).map(Spot::Region).collect()
    };
    let within = |(name, any_number): (&str, bool)| Some(region(name, any_number)).filter(|found| !found.is_empty());
    let names = std::iter::once((name, false)).chain(around(name).map(|name| (name, false))).chain([(name, true)]);
    let found = names.into_iter().find_map(within).unwrap_or_default();
    let price = |spot: &Spot| super::figures(*spot).next().map(|figure| figure.g_per_kwh);
    match found[..] {
        [] => Err(Unclear::Unknown),
        [first, ..] if found.iter().all(|other| price(other) == price(&first)) => Ok(first),
        _ => Err(Unclear::Several(found)),
    }
}

/// The regions that an availability zone may belong to: us-east-1a, us-central1-a, fr-par-1.
fn around(name: &str) -> impl Iterator<Item = &str> {
    let is_letter = |c: char| c.is_ascii_alphabetic();
    let letter = name.strip_suffix(is_letter).filter(|region| region.ends_with(|c: char| c.is_ascii_digit()));
    let short = |(region, zone): (&'_ str, &str)| (zone.len() == 1).then_some(region.len());
    let after = name.rsplit_once('-').and_then(short).and_then(|end| name.get(..end));
    letter.into_iter().chain(after)
}
