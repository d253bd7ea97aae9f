//! The arguments of the command that are options of the library.

use std::fmt::Write;

/// The options of the library: what is measured, and how.
#[derive(clap::Args)]
pub struct OptionArgs {
    /// Options of the library, such as 'location=DK pue=1.3'; CARBONTRACKER_* variables count too
    #[arg(short, long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Folder for the run's files: the option log_dir
    #[arg(long, alias = "log_dir", value_name = "DIR")]
    log_dir: Option<String>,
}

impl OptionArgs {
    /// These options alone.
    pub fn of(options: Vec<String>) -> OptionArgs {
        OptionArgs { options, log_dir: None }
    }

    /// The option string for the library. An option in `more` wins over one of the same key.
    pub fn with(&self, more: &[(&str, Option<&str>)]) -> String {
        let mut text = self.options.join(" ");
        for (key, value) in [("log_dir", self.log_dir.as_deref())].iter().chain(more) {
            if let Some(value) = value {
                let _ = write!(text, " {key}='{}'", value.replace('\\', r"\\").replace('\'', r"\'"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carbontracker::options::Options;

    #[test]
    fn values_may_hold_any_character() {
        let given =
            OptionArgs { options: vec!["name=other epochs=3".into(), "pue=1.5".into()], log_dir: Some("a b".into()) };
        let odd = r"it's \ odd = so";
        let options = Options::parse(&given.with(&[("name", Some(odd)), ("location", None)]), |_| None).unwrap();
        assert_eq!(
            (options.files.name.as_deref(), options.files.log_dir.as_deref()),
            (Some(odd), std::path::absolute("a b").ok().as_deref())
        );
        assert_eq!((options.epochs, options.carbon.pue, options.carbon.location), (3, 1.5, None));
    }
}
