use super::*;
use crate::carbon::intensity::EmissionsBasis;

fn carbon(text: &str) -> CarbonConfig {
    crate::options::Options::parse(text, |_| None).unwrap().carbon
}

fn chosen(text: &str) -> Intensity {
    choose(&carbon(text), |_| None).unwrap().grid.flat
}

#[test]
fn no_location_is_the_world_with_a_caveat() {
    let world = chosen("");
    assert_eq!((world.g_per_kwh, world.zone.as_deref()), (458.29, Some("WORLD")));
    assert!(world.caveat.unwrap().contains("world's average"));
    let given = chosen("intensity=50.5 location=FR");
    assert_eq!((given.g_per_kwh, given.kind, given.zone.as_deref()), (50.5, IntensityKind::Constant, Some("FR")));
    assert_eq!(chosen("intensity=50.5").zone, None);
}

#[test]
fn cloud_comes_from_firmware_and_its_region_from_the_environment() {
    let sysroot = std::env::temp_dir().join(format!("carbontracker-dmi-{}", std::process::id()));
    let dmi = sysroot.join("sys/class/dmi/id");
    std::fs::create_dir_all(&dmi).unwrap();
    let options = |more: &str| carbon(&format!("location=Cloud sysroot='{}' {more}", sysroot.display()));
    let nowhere = choose(&options(""), |_| None).unwrap();
    assert!(nowhere.feeds.is_empty() && nowhere.grid.flat.caveat.unwrap().contains("set location= to the region"));
    std::fs::write(dmi.join("sys_vendor"), "Amazon EC2\n").unwrap();
    let region = |name: &str| (name == "AWS_REGION").then(|| "eu-north-1".to_owned());
    let known = choose(&options(""), region).unwrap().grid.flat;
    assert_eq!((known.zone.as_deref(), known.caveat), (Some("aws:eu-north-1"), None));
    let halls = choose(&options("pue=region"), region).unwrap();
    assert_eq!((halls.facility.pue(), halls.caveats().count()), (Some((1.1, 2024)), 0));
    for (has_live, why) in [(true, "is not found yet"), (false, "location=cloud is not a cloud region")] {
        let choose = |options: &CarbonConfig| choose_with(has_live, options, |_| None).unwrap();
        assert!(choose(&options("pue=region")).caveats().any(|text| text.contains(why)));
        let feeds = choose(&options("")).feeds;
        let is_requested = matches!(feeds[..], [Feed::Location(Seek::Cloud(cloud::CloudProvider::Aws), None, _)]);
        assert_eq!(is_requested, has_live);
    }
    assert!(choose(&options("intensity=50"), |_| None).unwrap().feeds.is_empty(), "nothing to ask for");
    std::fs::remove_dir_all(sysroot).unwrap();
}

#[test]
fn live_figures_need_a_location_and_a_key() {
    for has_live in [true, false] {
        let chosen = |text: &str| choose_with(has_live, &carbon(text), |_| None).unwrap();
        let gb = chosen("intensity=carbonintensity_gb");
        assert_eq!((gb.grid.flat.zone.as_deref(), gb.grid.flat.caveat), (Some("GB"), None));
        let feeds = |choice: &IntensityChoice| choice.feeds.len();
        let all = usize::from(has_live);
        assert_eq!(feeds(&chosen("intensity=electricitymaps location=DK-DK1 api_key=k")), all);
        assert_eq!(feeds(&chosen("intensity=energycharts location=ip")), all);
        let keyless = chosen("intensity=electricitymaps location=DK-DK1");
        assert_eq!((feeds(&keyless), keyless.grid.flat.zone.as_deref()), (0, Some("DK-DK1")));
        assert!(keyless.caveats().any(|text| text.contains("CARBONTRACKER_API_KEY")) || !has_live);
        let marginal = chosen("intensity=100 marginal=watttime:caiso_north marginal_key=me:word");
        let warnings = marginal.caveats().filter(|text| text.contains("without live services")).count();
        assert_eq!(warnings, 1 - all, "once, in a library without live providers");
        let basis = marginal.marginal.as_ref().map(|marginal| marginal.about.basis);
        assert_eq!((feeds(&marginal), basis), (all, Some(Some(EmissionsBasis::Marginal))));
        let keyless = chosen("intensity=100 marginal=watttime:CAISO_NORTH");
        assert_eq!(feeds(&keyless), 0);
        assert!(keyless.caveats().any(|text| text.contains("marginal_key=")) || !has_live);
    }
    let refused = |text: &str| choose(&carbon(text), |_| None).err().unwrap().message;
    assert!(refused("marginal=watttime:x").starts_with("marginal='watttime:x': "));
    assert!(refused("marginal=watttime:CAISO_NORTH marginal_key='a\nb'").starts_with("marginal_key='…': "));
}

#[test]
fn zone_that_only_the_file_knows_is_accepted() {
    let path = std::env::temp_dir().join(format!("ct-zones-{}.csv", std::process::id()));
    let regions = "datetime,North Scotland,South Scotland,London,GB\n2026-03-02T12:00Z,10,20,130,150\n";
    let zones = "time (UTC),region,g_per_kwh\n2026-03-02 12:00,NSW1,500\n2026-03-02 12:00,QLD1,700\n";
    let one = "time (UTC),region,g_per_kwh\n2026-03-02 12:00,NSW1,500\n";
    let try_it = |text: &str, zone: &str| {
        std::fs::write(&path, text).unwrap();
        let options = format!("intensity='{}' location='{zone}'", path.display());
        choose(&carbon(&options), |_| None)
    };
    for (text, zone, flat) in [
        (regions, "GB-13", "GB"),
        (regions, "London", "GB"),
        (regions, "gb-13", "GB"),
        (zones, "NSW1", "WORLD"),
        (one, "NSW1", "WORLD"),
        (&one.replace("NSW1", "IT_Z9"), "IT_Z9", "IT"),
        ("# zone: DK-7\ntime,g_per_kwh\n2026-03-02T12:00Z,500\n", "DK-7", "DK"),
    ] {
        let choice = try_it(text, zone).unwrap_or_else(|error| panic!("{zone}: {error:?}"));
        assert_eq!(choice.grid.flat.zone.as_deref(), Some(flat), "{zone}");
        assert!(!choice.grid.hourly.as_ref().unwrap().curve.is_empty(), "{zone}");
        let expected = format!("location={zone} is a zone of the file alone");
        assert!(choice.caveats().any(|text| text.starts_with(&expected)), "{zone}");
    }
    for (text, zone) in [(one, "QLD1"), (zones, "XYZ1"), ("time,g_per_kwh\n2026-03-02T12:00Z,5\n", "NSW1")] {
        let error = try_it(text, zone).err().unwrap_or_else(|| panic!("{zone}"));
        assert!(error.message.contains(&format!("location='{zone}'")), "{error:?}");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn zone_of_the_file_is_used_without_a_location() {
    let path = std::env::temp_dir().join(format!("ct-own-zone-{}.csv", std::process::id()));
    for (zone, flat) in [("DK-DK1", "DK-DK1"), ("Atlantis", "WORLD")] {
        std::fs::write(&path, format!("# zone: {zone}\ntime,g_per_kwh\n2026-03-02T12:00Z,500\n")).unwrap();
        let options = carbon(&format!("intensity='{}'", path.display()));
        let choice = choose(&options, |_| None).unwrap();
        assert_eq!(choice.grid.flat.zone.as_deref(), Some(flat));
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn unknown_zone_is_refused_for_any_intensity() {
    let refused = choose(&carbon("location=Atlantis intensity=5"), |_| None).err().unwrap();
    assert!(refused.message.contains("location='Atlantis'"));
}
