# shellcheck shell=bash
# Fetches packages of another release of Debian, for scripts that source this file. The machine's own apt fetches them
# from the machine's own archive, into a folder. Nothing is installed, apt's settings stay, and root is not needed.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Prints what is missing here to fetch packages. Nothing: all is here.
debian_lacks() {
    local tool
    for tool in apt-get dpkg-deb; do
        command -v "$tool" >/dev/null || echo "$tool"
    done
    [[ -r $keyring ]] || echo "Debian's keyring, $keyring"
}

# The archives of this machine's packages, from apt's sources in any format. Archives of updates are left out; their
# suites have a dash.
debian_archives() { # FOLDER
    apt-get -o Dir::State="$1/sources" update --print-uris 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/[a-z]*/InRelease'.*|\1|p" | uniq
}

# Makes a folder for a release. STATUS lists the packages that are here already; /dev/null: none are. Without STATUS
# they are those of the machine.
debian_open() { # FOLDER SUITE [STATUS]
    local site
    mkdir -p "$1/lists/partial" "$1/archives/partial"
    for site in $(debian_archives "$1"); do
        echo "deb [signed-by=$keyring] $site $2 main" >"$1/sources.list"
        cat >"$1/apt.conf" <<CONF
Dir::Etc::sourcelist "$1/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$1/lists";
Dir::Cache "$1";
${3:+Dir::State::status "$3";}
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
Debug::NoLocking "true";
CONF
        ! debian_apt "$1" update || return 0
    done
    return 1
}

# Runs apt with the lists, downloads and only source of such a folder.
debian_apt() { # FOLDER ARGUMENT...
    local folder=$1
    shift
    (cd "$folder/archives" && APT_CONFIG=$folder/apt.conf apt-get -q -y "$@" 2>>"$folder/log" | tee -a "$folder/log")
}

# Unpacks all downloads of the folder into FOLDER/root.
debian_unpack() { # FOLDER
    local package
    for package in "$1"/archives/*.deb; do
        dpkg-deb -x "$package" "$1/root" || return
    done
}
