//! Folders that other users may write: links in the place of a run's files, metrics through links, runs of other users.
//! Tests with several users need root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::application::{Lab, Printed, SIM, by, each, is_root, is_root_here, open_to};
use crate::install_tree::have;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No account has these numbers.
const VICTIM: u32 = 54321;
const OTHER: u32 = 54322;

/// The files of a run beside its journal.
const ENDINGS: [&str; 4] = [".json", ".prom", "_carbontracker_output.log", "_carbontracker.log"];
const PRECIOUS: &str = "precious\n";

fn can_be_others() -> bool {
    have(&["cc", "pkg-config", "setpriv"]) && is_root_here()
}

/// A private file of the victim.
fn treasure(lab: &Lab, name: &str) -> PathBuf {
    let file = lab.file(&format!("victim/{name}"), PRECIOUS, 0o600);
    if is_root() {
        chown(lab.dir.join("victim"), Some(VICTIM), Some(VICTIM)).unwrap();
        chown(&file, Some(VICTIM), Some(VICTIM)).unwrap();
    }
    file
}

fn check_untouched(file: &Path) {
    let is = fs::metadata(file).unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), PRECIOUS, "{}", file.display());
    assert_eq!((is.mode() & 0o7777, is.nlink() > 0), (0o600, true));
}

/// Runs ten epochs as the victim. After the first `before` of them a shell runs `planting`. J is the journal, S is J
/// without its ending, V is the victim's file.
fn run_beside(lab: &Lab, before: u32, planting: &str, treasure: &Path) -> Printed {
    let folder = lab.folder("l", 0o777);
    let (started, planted) = (lab.dir.join("started"), lab.dir.join("planted"));
    let create = format!("create {SIM} log_dir={} name=x epochs=100", folder.display());
    let first = format!("epochs {before} 5");
    let wait =
        format!("sh sleep 0.1; touch {}; until [ -e {} ]; do sleep 0.01; done", started.display(), planted.display());
    let rest = format!("epochs {} 5", 10 - before);
    let orders = [&create, &first, &wait, &rest, "sleep 100", "messages", "destroy"];
    let mut application = if is_root() { lab.application_of(VICTIM, &orders) } else { lab.application(&orders) };
    let printed = std::thread::scope(|scope| {
        let plant = scope.spawn(|| {
            while !started.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let script =
                format!("J=$(ls {}/*.jsonl); S=${{J%.jsonl}}; V={}; {planting}", folder.display(), treasure.display());
            let output = crate::install_tree::outcome(crate::install_tree::command("sh").args(["-e", "-c", &script]));
            fs::write(&planted, "").unwrap();
            assert!(output.status.success(), "{output:?}");
        });
        let printed = lab.printed(application.env_remove("CT_OUT"));
        plant.join().unwrap();
        printed
    });
    check_untouched(treasure);
    printed
}

/// The other files of the run are complete.
fn check_the_rest(lab: &Lab, planted: &str) {
    let logs = lab.logs("l");
    assert_eq!(logs.journal().epochs(), 10);
    for ending in ENDINGS.into_iter().filter(|ending| *ending != planted) {
        let file = logs.file(ending);
        assert!(
            fs::symlink_metadata(&file).unwrap().is_file() && fs::read(&file).unwrap().len() > 100,
            "{}",
            file.display()
        );
    }
}

#[test]
fn link_of_another_user_is_neither_followed_nor_replaced() {
    if !can_be_others() {
        return;
    }
    each(by(&ENDINGS, &["$V", "$V.new"]), |(ending, target)| {
        let lab = Lab::for_all_users(&format!("planted{ending}-{}", target.len()));
        let treasure = treasure(&lab, "bashrc");
        let printed = run_beside(
            &lab,
            0,
            &format!("ln -s {target} ${{S}}{ending}; chown -h {OTHER}:{OTHER} ${{S}}{ending}"),
            &treasure,
        );
        let link = lab.logs("l").file(ending);
        assert!(link.is_symlink() && fs::symlink_metadata(&link).unwrap().uid() == OTHER, "{}", link.display());
        assert_eq!(fs::read_dir(lab.dir.join("victim")).unwrap().count(), 1, "nothing beside the victim's file");
        check_the_rest(&lab, ending);
        if ending != ".json" {
            printed.one_message(&[ending]); // the report is written after the last message is read
        }
    });
}

#[test]
fn file_of_another_user_is_not_replaced() {
    if !can_be_others() {
        return;
    }
    each(ENDINGS, |ending| {
        let lab = Lab::for_all_users(&format!("foreign{ending}"));
        let treasure = treasure(&lab, "bashrc");
        let printed = run_beside(
            &lab,
            0,
            &format!("echo theirs > ${{S}}{ending}; chown {OTHER} ${{S}}{ending}; chmod 666 ${{S}}{ending}"),
            &treasure,
        );
        let file = lab.logs("l").file(ending);
        assert_eq!(
            (fs::read_to_string(&file).unwrap().as_str(), fs::metadata(&file).unwrap().uid()),
            ("theirs\n", OTHER)
        );
        check_the_rest(&lab, ending);
        if ending != ".json" {
            printed.one_message(&[ending]);
        }
    });
}

/// The victim's file has a second name there: replacing that name is harmless, writing through it is not.
#[test]
fn hard_link_is_not_written_through() {
    if !have(&["cc", "pkg-config", "setpriv"]) {
        return;
    }
    each(ENDINGS, |ending| {
        let lab = Lab::for_all_users(&format!("hard{ending}"));
        let treasure = treasure(&lab, "bashrc");
        run_beside(&lab, 0, &format!("ln $V ${{S}}{ending}"), &treasure);
        check_the_rest(&lab, ending);
    });
}

#[test]
fn links_of_this_user_are_not_followed_for_generated_names() {
    if !have(&["cc", "pkg-config", "setpriv"]) {
        return;
    }
    each(ENDINGS, |ending| {
        let lab = Lab::for_all_users(&format!("own-link{ending}"));
        let treasure = treasure(&lab, "bashrc");
        let give = if is_root() { format!("chown -h {VICTIM} ${{S}}{ending}") } else { String::new() };
        run_beside(&lab, 0, &format!("ln -s $V ${{S}}{ending}; {give}"), &treasure);
        check_the_rest(&lab, ending);
    });
}

/// Without the sticky bit another user can replace the journal itself.
#[test]
fn file_that_replaces_a_journal_is_not_written() {
    if !can_be_others() {
        return;
    }
    let plants = [
        format!("mv $J $J.away; ln -s $V $J; chown -h {OTHER} $J"),
        format!("mv $J $J.away; ln -s $V.new $J; chown -h {OTHER} $J"),
        "mv $J $J.away; ln $V $J".to_owned(),
        format!("mv $J $J.away; echo theirs > $J; chown {OTHER} $J; chmod 666 $J"),
    ];
    each(plants.iter().enumerate(), |(n, planting)| {
        let lab = Lab::for_all_users(&format!("journal-{n}"));
        let treasure = treasure(&lab, "bashrc");
        let printed = run_beside(&lab, 5, planting, &treasure);
        assert_eq!(fs::read_dir(lab.dir.join("victim")).unwrap().count(), 1, "nothing beside the victim's file");
        printed.one_message(&[".jsonl"]);
        // The run is complete in another file, or a message reports that it was not written.
        let ours = |path: &PathBuf| {
            fs::symlink_metadata(path).is_ok_and(|is| is.is_file() && is.uid() == VICTIM && is.nlink() == 1)
        };
        let whole = lab
            .logs("l")
            .files(".jsonl")
            .iter()
            .filter(|path| ours(path))
            .any(|path| crate::application::Journal::read(path).epochs() == 10);
        assert!(whole || printed.0.contains("not written"), "{}", printed.0);
        if n == 3 {
            let theirs: Vec<PathBuf> = lab.logs("l").files(".jsonl").into_iter().filter(|path| !ours(path)).collect();
            assert_eq!(theirs.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<String>(), "theirs\n");
        }
    });
}

/// A file that another user puts in the place of a log or of the metrics is not written.
#[test]
fn file_that_replaces_a_log_is_not_written() {
    if !can_be_others() {
        return;
    }
    each(by(&ENDINGS[1..], &["ln -s", "ln"]), |(ending, link)| {
        let lab = Lab::for_all_users(&format!("replaced{ending}-{}", link.len()));
        let treasure = treasure(&lab, "bashrc");
        let planting = format!("rm ${{S}}{ending}; {link} $V ${{S}}{ending}; [ $V -ef ${{S}}{ending} ]");
        let give = if link == "ln" { String::new() } else { format!("; chown -h {OTHER} ${{S}}{ending}") };
        run_beside(&lab, 5, &(planting + &give), &treasure);
        check_the_rest(&lab, ending);
    });
}

/// The user or the administrator may redirect `prometheus=` by a link.
#[test]
fn metrics_go_through_links_of_this_user_and_root_only() {
    if !can_be_others() {
        return;
    }
    each(by(&[(VICTIM, true), (0, true), (OTHER, false)], &[true, false]), |((owner, is_followed), is_there)| {
        let lab = Lab::for_all_users(&format!("metrics-{owner}-{is_there}"));
        let target = lab.folder("collector", 0o777).join("real.prom");
        if is_there {
            fs::write(&target, PRECIOUS).unwrap();
            open_to(&target, 0o640);
            chown(&target, Some(VICTIM), Some(OTHER)).unwrap();
        }
        let link = lab.dir.join("link.prom");
        symlink(&target, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(owner), Some(owner)).unwrap();
        let create = format!("create {SIM} prometheus={}", link.display());
        let written = if is_followed { "sleep 0" } else { "await_message link.prom" };
        let orders = ["umask 077", &create, "epochs 4 5", written, "epochs 1 5", "messages", "destroy"];
        let printed = lab.printed(&mut lab.application_of(VICTIM, &orders));
        assert!(link.is_symlink(), "the link stays");
        let text = fs::read_to_string(&target).unwrap_or_default();
        if is_followed {
            let is = fs::metadata(&target).unwrap();
            assert!(text.contains("} 5\n"), "{owner} {is_there}: {text}{}", printed.0);
            assert_eq!(is.mode() & 0o7777, if is_there { 0o640 } else { 0o644 });
            assert_eq!(is.uid(), VICTIM);
        } else {
            assert_eq!(text, if is_there { PRECIOUS } else { "" }, "{}", printed.0);
            assert!(target.exists() == is_there);
            printed.one_message(&["link.prom"]);
        }
    });
}

/// The user's own link leads to a link of another user.
#[test]
fn metrics_do_not_follow_links_of_another_user() {
    if !can_be_others() {
        return;
    }
    let lab = Lab::for_all_users("metrics-chain");
    let treasure = treasure(&lab, "bashrc");
    let [theirs, mine] = ["theirs.prom", "mine.prom"].map(|name| lab.dir.join(name));
    symlink(&treasure, &theirs).unwrap();
    std::os::unix::fs::lchown(&theirs, Some(OTHER), Some(OTHER)).unwrap();
    symlink(&theirs, &mine).unwrap();
    std::os::unix::fs::lchown(&mine, Some(VICTIM), Some(VICTIM)).unwrap();
    let create = format!("create {SIM} prometheus={}", mine.display());
    let printed =
        lab.printed(&mut lab.application_of(VICTIM, &[&create, "epochs 5 5", "await_message .prom", "destroy"]));
    check_untouched(&treasure);
    printed.one_message(&[".prom"]);
}

/// Kills a run of another user after 8 of 10 epochs.
fn killed_run(lab: &Lab) -> crate::application::Journal {
    let shared = lab.folder("shared", 0o1777);
    let create = format!("create {SIM} epochs=10 name=baseline log_dir={0} resume={0}", shared.display());
    let written = format!("written {} 8", shared.display());
    let mut killed = lab.application_of(OTHER, &[&create, "epochs 8 10", &written, "kill"]);
    let output = crate::install_tree::outcome(&mut killed);
    assert!(!output.status.success(), "{output:?}");
    let journal = lab.logs("shared").journal();
    assert_eq!((journal.epochs(), journal.ends()), (8, 0));
    open_to(&journal.path, 0o666);
    journal
}

#[test]
fn run_of_another_user_is_not_resumed() {
    if !can_be_others() {
        return;
    }
    let lab = Lab::for_all_users("baseline");
    let theirs = killed_run(&lab);
    let before = fs::read(&theirs.path).unwrap();
    let create =
        format!("create {SIM} epochs=10 name=baseline log_dir={0} resume={0}", lab.dir.join("shared").display());
    let orders = [&create, "value /run/epochs_done", "epochs 10 5", "messages", "destroy"];
    let printed = lab.printed(&mut lab.application_of(VICTIM, &orders));
    assert_eq!(printed.value("/run/epochs_done"), 0.0, "{}", printed.0);
    assert_eq!(fs::read(&theirs.path).unwrap(), before, "the other user's journal is unchanged");
    let journals = lab.logs("shared").journals();
    let ours = journals.iter().find(|journal| journal.path != theirs.path).unwrap();
    assert_eq!((journals.len(), ours.epochs()), (2, 10));
    assert_ne!(ours.id(), theirs.id());
    // The user of the run resumes it.
    let printed = lab.printed(
        &mut lab.application_of(OTHER, &[&create, "value /run/epochs_done", "epochs 2 5", "messages", "destroy"]),
    );
    assert_eq!(printed.value("/run/epochs_done"), 8.0, "{}", printed.0);
}

#[test]
fn named_journal_of_another_user_makes_a_message_with_the_owner() {
    if !can_be_others() {
        return;
    }
    let lab = Lab::for_all_users("named");
    let theirs = killed_run(&lab);
    let create = format!(
        "create {SIM} epochs=10 name=baseline log_dir={} resume={}",
        lab.folder("o", 0o777).display(),
        theirs.path.display()
    );
    let printed = lab.printed(
        &mut lab.application_of(VICTIM, &[&create, "value /run/epochs_done", "epochs 2 5", "messages", "destroy"]),
    );
    printed.one_message(&[&OTHER.to_string()]);
}
