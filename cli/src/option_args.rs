//! The library's options, as the command is told them.

use std::fmt::Write;

/// What is measured and how.
#[derive(clap::Args)]
pub struct Given {
    /// Options of the library, such as 'location=DK pue=1.3'; CARBONTRACKER_* in the environment count too
    #[arg(short, long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Folder for the run's files: option log_dir
    #[arg(long, alias = "log_dir", value_name = "DIR")]
    log_dir: Option<String>,
}

impl Given {
    /// As the library reads them, with some more, which count before those of the same key.
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
    fn any_value_goes_through() {
        let given =
            Given { options: vec!["name=other epochs=3".into(), "pue=1.5".into()], log_dir: Some("a b".into()) };
        let odd = r"it's \ odd = so";
        let options = Options::parse(&given.with(&[("name", Some(odd)), ("location", None)]), |_| None).unwrap();
        assert_eq!(
            (options.files.name.as_deref(), options.files.log_dir.as_deref()),
            (Some(odd), std::path::absolute("a b").ok().as_deref())
        );
        assert_eq!((options.epochs, options.carbon.pue, options.carbon.location), (3, 1.5, None));
    }
}
