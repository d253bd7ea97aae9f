//! The help of `run`.

/// What its arguments do together.
pub const HELP: &str = "\
The program keeps its input, output, exit status and signals. The report goes to standard error. Everything the program
starts is measured with it, until the program itself ends. The library measures devices, not processes: other programs
on them count too. An estimated processor counts only the cores that this command may use.

  carbontracker run -- make -j8
  carbontracker run -o 'location=DK pue=1.3' --report json --to energy.json -- ./train --epochs 10
  carbontracker run --mark 'begin of epoch' --epochs 10 -- stdbuf -oL ./train
  carbontracker run --mark-regex '^step [0-9]+' --mark-every 100 -- ./solve
  carbontracker last

With --mark, each line of standard output or standard error that contains TEXT is a mark. With --mark-regex, each line
that REGEX matches is one, once it has ended. --mark-every N takes the first of them and each N-th after it. An epoch goes from mark to
mark, and from the last mark to the end. With --epochs N, the N-th epoch lasts to the end. The time before the first mark
is the start-up: it is no epoch, and its energy counts as energy between epochs. Choose a text that is printed when an
epoch begins. If it is printed when an epoch ends, such as its loss, the first epoch is part of the start-up: then give
N one less than the program has. Both outputs pass through pipes, byte by byte. Many programs buffer output to a pipe:
'stdbuf -oL' or PYTHONUNBUFFERED=1 helps. The command exits once every process has closed its end of the pipes.

The journal and the report of the newest 100 runs are kept, for 'last', 'watch', 'report' and 'estimate', and after a
kill. Their folder is $XDG_STATE_HOME/carbontracker/runs, by default ~/.local/state/carbontracker/runs. Only this user may
read it. With --log-dir DIR all files of the run are in DIR. With --log-dir off, or CARBONTRACKER_LOG_DIR=off, there are
none.

A program that uses the library itself may run inside. Both count, and neither takes devices from the other. The files of
CARBONTRACKER_LOG_DIR, _RESUME and _PROMETHEUS are those of 'run'; the program does not inherit these variables.
'run -- env CARBONTRACKER_LOG_DIR=DIR CMD' makes it write its own files, which 'aggregate' would add to this run. Of
several 'run' in one job on one node (srun, mpirun), one counts the node. Signals that a process sends to this command
(HUP, INT, QUIT, TERM, USR1, USR2) are passed on. Ctrl-C reaches the program directly.

While the program runs, a terminal shows its time, power, energy and CO2e in the last row, each second, and in the title.
A program that takes over the screen has all rows. Where standard error is no terminal, a line is printed after 1, 5, 15
and 30 minutes, and then every hour. --status 10s sets the interval, --status off shows nothing.

With --node there is no program: the command measures the node until SIGTERM, SIGINT, SIGQUIT, SIGHUP or SIGUSR1 ends it,
and then writes its report. Start one on each node of a job, and add them up with 'aggregate --job ID'. Its epochs are
pieces of its time, a second or 1 % of it each, so that a kill loses no more:

  srun --overlap -n$SLURM_JOB_NUM_NODES --ntasks-per-node=1 carbontracker run --node --log-dir DIR &

Exit status: that of the program; if a signal ended it, the same signal ends this command. 126 the program cannot be run;
127 it does not exist; with --node, 0; 2 wrong arguments or options, and nothing was run.";
