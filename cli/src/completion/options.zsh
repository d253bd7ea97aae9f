# Completes one of the pairs KEY=VALUE of -o: the key, or the zone of location=.
_carbontracker_pair() {
    local -a keys zones
    keys=(@KEYS@)
    zones=(@ZONES@)
    compset -P '*[[:space:]]'
    if compset -P 'location='; then
        compadd -a zones
    else
        compadd -S '=' -a keys
    fi
}

# Completes a zone.
_carbontracker_zone() {
    local -a zones
    zones=(@ZONES@)
    compadd -a zones
}

