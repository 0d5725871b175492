//! What is left of forked workers and of their parent when the host is killed.

use std::fs;
use std::time::Duration;

use poolshift::clock::{Clock, Moment};

use crate::tool::{Tool, until};

/// R17: whatever its workers and their parent were at, nothing is there a second after the host.
#[test]
fn r17_a_killed_host_leaves_neither_a_forked_worker_nor_its_parent() {
    let app = "import os, pathlib, subprocess, time\n\
               from poolshift_worker import command\n\
               from poolshift_worker.apps.demo import *\n\
               def note(pid):\n\
               \x20   path = pathlib.Path(os.environ['NOTES'], str(pid))\n\
               \x20   path.touch()\n\
               note(os.getpid())\n\
               time.sleep(float(os.environ.get('IMPORT_S', '0')))\n\
               @command('beget')\n\
               def beget(args, ctx):\n\
               \x20   note(subprocess.Popen(['sleep', '1000']).pid)\n\
               \x20   note(os.getpid())\n\
               \x20   while True: pass\n";
    for (import_s, processes) in [("0", 3), ("1000", 1)] {
        let tool = Tool::new();
        tool.write("begetting.py", app);
        fs::create_dir(tool.path("notes")).unwrap();
        let noted = || -> Vec<u32> {
            let notes = fs::read_dir(tool.path("notes")).unwrap();
            notes.map(|note| note.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
        };
        let mut host = tool.command(&["call", "beget", "--pool", "v3"]);
        host.env("POOLSHIFT__WORKER__APP", "begetting").env("PYTHONPATH", tool.path(""));
        host.env("POOLSHIFT__WORKER__START_METHOD", "fork").env("IMPORT_S", import_s);
        host.env("POOLSHIFT__V3__SIZE", "1").env("NOTES", tool.path("notes"));
        let mut host = host.spawn().unwrap();
        until("all are at it", || noted().len() == processes);
        host.kill().unwrap();
        host.wait().unwrap();
        let clock = Clock::start();
        let living = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        until("all are gone", || !noted().iter().any(living));
        let took = clock.now().since(Moment::ZERO);
        assert!(took < Duration::from_secs(1), "{import_s}: after {took:?}");
    }
}
