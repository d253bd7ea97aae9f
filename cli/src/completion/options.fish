
# Prints the candidates for the pairs KEY=VALUE of -o. Quotes hold several pairs, of which the last one is completed.
function __carbontracker_pairs
    set -l start (string match -r '.*\s' -- (commandline -ct | string trim -l -c '\'"'))
    for key in @KEYS@
        echo "$start$key="
    end
    for zone in (__carbontracker_zones)
        echo "$start"location=$zone
    end
end

function __carbontracker_zones
    string split ' ' '@ZONES@'
end

complete -c carbontracker -n "__fish_seen_subcommand_from run doctor estimate when" -s o -l option -x -a "(__carbontracker_pairs)"
complete -c carbontracker -n "__fish_seen_subcommand_from estimate when" -l location -x -a "(__carbontracker_zones)"
complete -c carbontracker -n "__fish_seen_subcommand_from zones" -f -a "(__carbontracker_zones)"
complete -c carbontracker -n "__fish_seen_subcommand_from options" -f -a "@KEYS@"
complete -c ctrack -w carbontracker
