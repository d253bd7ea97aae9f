//! The tables built in, row by row. The head of each file names its columns, sources and licence.

/// Countries and Chinese provinces: zone,alpha-3,name,year,gCO2e/kWh,basis,use,source.
pub const ZONES: &str = include_str!("../tables/zones.csv");
/// Zones of Electricity Maps: zone,name,gCO2e/kWh.
pub const GRIDS: &str = include_str!("../tables/grids.csv");
/// States of the USA: state,name,zones of `GRIDS`.
pub const STATES: &str = include_str!("../tables/states.csv");
/// Cloud regions: region,place,zone,own figure,year,PUE,year,WUE,year,caveat.
pub const REGIONS: &str = include_str!("../tables/regions.csv");
/// Grids that feed them: zone,gCO2e/kWh,year.
pub const CLOUD_GRIDS: &str = include_str!("../tables/cloud_grids.csv");
/// Other names: names,zone,why.
pub const NAMES: &str = include_str!("../tables/names.csv");

/// A row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRow(&'static str);

impl TableRow {
    /// The cell in this column. Empty if there is none.
    pub fn cell(self, column: usize) -> &'static str {
        self.0.split(',').nth(column).unwrap_or_default()
    }

    /// All cells.
    #[cfg(test)]
    pub fn cell_all(self) -> &'static str {
        self.0
    }

    /// The number in this column.
    pub fn number(self, column: usize) -> Option<f64> {
        self.cell(column).parse().ok()
    }

    /// The year in this column.
    pub fn year(self, column: usize) -> Option<u32> {
        self.cell(column).parse().ok()
    }
}

/// The rows of a table, in its order.
pub fn rows(table: &'static str) -> impl Iterator<Item = TableRow> {
    table.lines().filter(|line| !line.starts_with('#')).map(TableRow)
}

/// The row whose first cell is this, in any case.
pub fn row(table: &'static str, key: &str) -> Option<TableRow> {
    rows(table).find(|row| !key.is_empty() && row.cell(0).eq_ignore_ascii_case(key))
}

/// The source that a letter stands for, from the head of `ZONES`.
pub fn source(letter: &str) -> Option<&'static str> {
    ZONES.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(letter)?.strip_prefix("  "))
}
