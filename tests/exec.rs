//! Commands without a terminal: exit codes, and the three streams kept apart to the byte.

mod harness;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    time::Duration,
};

use harness::{DEADLINE, Random, Route, Running, Said, feed, over, run};

#[test]
fn exit_codes_come_back() {
    over(&Route::ALL, |line| {
        for code in [0, 7] {
            assert_eq!(line.client.exec(&format!("exit {code}")).status.code(), Some(code));
        }
    });
}

#[test]
fn a_command_that_a_signal_ends_is_reported() {
    over(&Route::FEW, |line| {
        let output = line.client.exec("kill -TERM $$");
        assert_eq!(output.status.code(), Some(255), "{}", output.stderr.said());
    });
}

#[test]
fn stdout_and_stderr_are_kept_apart() {
    over(&Route::ALL, |line| {
        let output = line.client.exec("echo out; echo err >&2; echo out2");
        assert_eq!((output.stdout.said(), output.stderr.said()), ("out\nout2\n".into(), "err\n".into()));
    });
}

#[test]
fn binary_stdin_comes_back_to_the_byte() {
    over(&Route::ALL, |line| {
        let mut bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
        bytes.extend(Random::bytes(1, 1_000_003));
        let output = feed(line.client.ssh().args(["box", "tee /dev/stderr"]), bytes.clone());
        assert!(output.stdout == bytes, "stdout: {} bytes", output.stdout.len());
        assert!(output.stderr == bytes, "stderr: {} bytes", output.stderr.len());
    });
}

#[test]
fn the_end_of_stdin_reaches_the_command() {
    over(&Route::ALL, |line| {
        let output = feed(line.client.ssh().args(["box", "wc -c; echo done"]), b"12345".to_vec());
        assert_eq!(output.stdout.said(), "5\ndone\n");
    });
}

#[test]
fn an_empty_stdin_is_an_end_of_file() {
    over(&Route::FEW, |line| {
        let output = run(line.client.ssh().args(["-n", "box", "cat; echo done"]));
        assert_eq!(output.stdout.said(), "done\n");
    });
}

#[test]
fn yes_head() {
    over(&Route::ALL, |line| {
        let output = line.client.exec("yes | head -n 20000 | wc -l");
        assert_eq!(output.stdout.said().trim(), "20000");
        // Here the reader at our end leaves first.
        let mut ssh = line.client.ssh();
        let mut running =
            Running::start(ssh.args(["box", "yes"]).stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut head = [0; 100_000];
        running.stdout().read_exact(&mut head).expect("the first lines");
        assert!(head.chunks(2).all(|line| line == b"y\n"));
        assert!(!running.wait(DEADLINE).success());
    });
}

#[test]
fn stderr_after_eof() {
    over(&Route::ALL, |line| {
        let command = "exec >/dev/null; cat; head -c 300000 /dev/zero | tr '\\0' e >&2";
        let output = feed(line.client.ssh().args(["box", command]), b"in".to_vec());
        assert_eq!(output.stderr, vec![b'e'; 300_000]);
    });
}

#[test]
fn a_conversation_is_not_held_back() {
    over(&Route::ALL, |line| {
        let mut ssh = line.client.ssh();
        let mut running =
            Running::start(ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (mut stdin, mut stdout) = (running.stdin(), BufReader::new(running.stdout()));
        for number in 0..200 {
            writeln!(stdin, "{number}").expect("written");
            let mut answer = String::new();
            stdout.read_line(&mut answer).expect("an answer");
            assert_eq!(answer.trim(), number.to_string());
        }
        drop(stdin);
        assert!(running.wait(DEADLINE).success());
    });
}

#[test]
fn a_writer_of_single_bytes_is_heard() {
    over(&Route::FEW, |line| {
        let mut ssh = line.client.ssh();
        let mut running =
            Running::start(ssh.args(["box", "wc -c"]).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut stdin = running.stdin();
        for _ in 0..20_000 {
            stdin.write_all(b"x").expect("written");
        }
        drop(stdin);
        let mut count = String::new();
        running.stdout().read_to_string(&mut count).expect("a count");
        assert_eq!(count.trim(), "20000");
    });
}

#[test]
fn arguments_and_environment_pass() {
    over(&Route::FEW, |line| {
        let mut ssh = line.client.ssh();
        ssh.env("LC_TEST", "a b").args([
            "-o",
            "SendEnv=LC_TEST",
            "box",
            "printf %s \"$LC_TEST\"; echo \" 'q'\"",
        ]);
        assert_eq!(run(&mut ssh).stdout.said(), "a b 'q'\n");
    });
}

#[test]
fn a_background_process_does_not_hold_the_session() {
    over(&Route::ALL, |line| {
        let output = line.client.exec("sleep 20 >/dev/null 2>&1 </dev/null & echo $!");
        assert!(output.status.success());
        let mut kill = Command::new("kill");
        assert!(run(kill.arg(output.stdout.said().trim())).status.success());
    });
}

#[test]
fn an_idle_session_stays_and_answers_afterwards() {
    over(&[Route::Exec, Route::Builtin], |line| {
        let mut ssh = line.client.ssh();
        let mut running =
            Running::start(ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut stdin = running.stdin();
        assert!(running.try_wait(Duration::from_secs(4)).is_none(), "it ended while idle");
        stdin.write_all(b"still here\n").expect("written");
        drop(stdin);
        let mut answer = String::new();
        running.stdout().read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer, "still here\n");
    });
}
