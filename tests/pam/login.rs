//! Who may log in, and what is asked.

use irosh::server::pam::{Denied, Granted, PamError, PamStep, Proof, Refusal};

use crate::machine::{Machine, all, all_but, answer_all, in_time, secret, start, step};

fn granted(step: PamStep) -> Granted {
    match step {
        PamStep::Granted(granted) => granted,
        other => panic!("not granted: {other:?}"),
    }
}

fn denied(step: PamStep) -> Denied {
    match step {
        PamStep::Denied(denied) => denied,
        other => panic!("not denied: {other:?}"),
    }
}

#[tokio::test]
async fn the_right_password_is_granted_and_a_wrong_one_denied() {
    let Some(machine) = Machine::new() else { return };
    let (asked, step) = answer_all(&mut machine.login("unix", "alice"), &["right"]).await;
    assert_eq!(asked, ["Password: "]);
    assert_eq!(granted(step), Granted::default());
    let (asked, step) = answer_all(&mut machine.login("unix", "alice"), &["wrong"]).await;
    assert_eq!(asked, ["Password: "]);
    assert_eq!(denied(step).refusal, Refusal::Authentication);
}

#[tokio::test]
async fn an_unknown_user_is_not_told_from_a_wrong_password() {
    let Some(machine) = Machine::new() else { return };
    let mut told = Vec::new();
    for user in ["alice", "nobody-of-that-name"] {
        let (asked, step) = answer_all(&mut machine.login("unix", user), &["wrong"]).await;
        let Denied { messages, refusal, .. } = denied(step);
        told.push((asked, messages, refusal));
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn a_locked_account_and_one_that_has_expired_are_denied() {
    let Some(machine) = Machine::new() else { return };
    let (_, step) = answer_all(&mut machine.login("unix", "locked"), &["right"]).await;
    assert_eq!(denied(step).refusal, Refusal::Authentication);
    let (_, step) = answer_all(&mut machine.login("unix", "gone"), &["right"]).await;
    let denied = denied(step);
    assert_eq!(denied.refusal, Refusal::Account);
    assert!(denied.messages.contains("account has expired"), "{denied:?}");
}

#[tokio::test]
async fn an_expired_password_is_changed_by_questions() {
    let Some(machine) = Machine::new() else { return };
    let answers = ["right", "right", "Fresh-2-you", "Fresh-2-you"];
    let (asked, step) = answer_all(&mut machine.login("unix", "stale"), &answers).await;
    granted(step);
    let words: Vec<_> = asked.iter().map(|text| text.lines().last().unwrap_or_default()).collect();
    assert_eq!(words, ["Password: ", "Current password: ", "New password: ", "Retype new password: "]);
    assert!(asked[1].contains("required to change your password"), "{asked:?}");
    // It is another password now, and has not expired.
    let (_, step) = answer_all(&mut machine.login("unix", "stale"), &["Fresh-2-you"]).await;
    granted(step);
    let (_, step) = answer_all(&mut machine.login("unix", "stale"), &["right"]).await;
    denied(step);
}

#[tokio::test]
async fn an_expired_password_that_is_not_changed_keeps_out() {
    let Some(machine) = Machine::new() else { return };
    let answers = ["right", "right", "one-Thing-1", "another-1"];
    let (_, step) = answer_all(&mut machine.login("unix", "stale"), &answers[..]).await;
    assert_eq!(denied(step).refusal, Refusal::Authentication);
}

#[tokio::test]
async fn where_nothing_can_be_asked_an_expired_password_is_for_the_session_to_change() {
    let Some(machine) = Machine::new() else { return };
    let mut pam = start(machine.request("unix", "stale", Proof::Password));
    assert!(granted(in_time(pam.password(secret("right"))).await.expect("decided")).change_password);
    let mut pam = start(machine.request("unix", "stale", Proof::Elsewhere));
    assert!(granted(step(&mut pam).await.expect("decided")).change_password);
}

#[tokio::test]
async fn a_second_factor_is_a_second_question() {
    let Some(machine) = Machine::new() else { return };
    let auth = "auth required pam_unix.so nodelay\nauth required $ask say=hello on=Code: is=123\n";
    machine.service("two", &(auth.to_owned() + &all_but("auth")));
    let (asked, step) = answer_all(&mut machine.login("two", "alice"), &["right", "123"]).await;
    assert_eq!(asked, ["Password: ", "hello\nCode:"]);
    granted(step);
    let (_, step) = answer_all(&mut machine.login("two", "alice"), &["right", "124"]).await;
    denied(step);
    let (_, step) = answer_all(&mut machine.login("two", "alice"), &["wrong", "123"]).await;
    denied(step);
}

#[tokio::test]
async fn questions_that_are_asked_at_once_arrive_at_once() {
    let Some(machine) = Machine::new() else { return };
    machine.service("both", &("auth required $ask both\n".to_owned() + &all_but("auth")));
    let mut pam = machine.login("both", "alice");
    let PamStep::Ask(questions) = step(&mut pam).await.expect("a step") else { panic!("nothing is asked") };
    let prompts: Vec<_> =
        questions.prompts.iter().map(|prompt| (prompt.text.as_str(), prompt.echo)).collect();
    assert_eq!(prompts, [("One: ", false), ("Two: ", true)]);
    assert_eq!(questions.instructions, "in between\n");
    let one_answer = pam.answer(vec![secret("one")]);
    assert!(matches!(one_answer, Err(PamError::Answers { asked: 2, given: 1 })));
    pam.answer(vec![secret("one"), secret("two")]).expect("answered");
    granted(step(&mut pam).await.expect("decided"));
}

#[tokio::test]
async fn what_modules_say_comes_with_the_decision() {
    let Some(machine) = Machine::new() else { return };
    let text = machine.path("text");
    std::fs::write(&text, "hello %u from %H").expect("a text");
    let echo = format!("auth optional pam_echo.so file={}\n", text.display());
    let permits = echo.clone() + &all("required pam_permit.so");
    machine.service("echo", &permits);
    let (_, step) = answer_all(&mut machine.login("echo", "alice"), &[]).await;
    assert_eq!(granted(step).messages, "hello alice from 192.0.2.1\n");
    machine.service("echo", &(echo + "auth required $ask err=no fail\n"));
    let (_, step) = answer_all(&mut machine.login("echo", "alice"), &[]).await;
    assert_eq!(denied(step).messages, "hello alice from 192.0.2.1\nno\n");
}

#[tokio::test]
async fn nologin_keeps_out_all_but_root() {
    let Some(machine) = Machine::new() else { return };
    machine.service(
        "nologin",
        &("account required pam_nologin.so\n".to_owned() + &all("required pam_permit.so")),
    );
    std::fs::write("/etc/nologin", "closed for today").expect("a notice");
    for proof in [Proof::Answers, Proof::Elsewhere] {
        let step = step(&mut start(machine.request("nologin", "alice", proof))).await;
        let denied = denied(step.expect("decided"));
        assert_eq!((denied.refusal, denied.messages.trim()), (Refusal::Account, "closed for today"));
        let step = crate::machine::step(&mut start(machine.request("nologin", "root", proof))).await;
        granted(step.expect("decided"));
    }
}

#[tokio::test]
async fn a_rule_about_users_is_kept_whatever_the_proof() {
    let Some(machine) = Machine::new() else { return };
    let rule = "account required pam_succeed_if.so quiet user = alice\n";
    machine.service("rule", &(rule.to_owned() + &all("required pam_permit.so")));
    for proof in [Proof::Answers, Proof::Password, Proof::Elsewhere] {
        granted(step(&mut start(machine.request("rule", "alice", proof))).await.expect("decided"));
        let bob = step(&mut start(machine.request("rule", "bob", proof))).await.expect("decided");
        assert_eq!(denied(bob).refusal, Refusal::Account);
    }
}

#[tokio::test]
async fn a_proof_from_elsewhere_asks_nothing() {
    let Some(machine) = Machine::new() else { return };
    machine.service("key", &("auth required pam_deny.so\n".to_owned() + &all_but("auth")));
    granted(step(&mut start(machine.request("key", "alice", Proof::Elsewhere))).await.expect("decided"));
    // An account that asks something cannot be asked about.
    machine.service("key", &("account required $ask off=Really? is=yes\n".to_owned() + &all_but("account")));
    let asking = step(&mut start(machine.request("key", "alice", Proof::Elsewhere))).await.expect("decided");
    assert_eq!(denied(asking).refusal, Refusal::Account);
}

#[tokio::test]
async fn a_plain_password_answers_one_hidden_question_and_no_more() {
    let Some(machine) = Machine::new() else { return };
    let login = async |service: &str, password: &str| {
        let mut pam = start(machine.request(service, "alice", Proof::Password));
        in_time(pam.password(secret(password))).await.expect("decided")
    };
    granted(login("unix", "right").await);
    denied(login("unix", "wrong").await);
    for (name, steps) in [("shown", "on=Name: is=x"), ("twice", "off=A: is=x off=B: is=x"), ("both", "both")]
    {
        machine.service(name, &(format!("auth required $ask say=hello {steps}\n") + &all_but("auth")));
        let denied = denied(login(name, "x").await);
        assert!(denied.messages.starts_with("hello\n"), "{name}: {denied:?}");
    }
    machine.service(
        "once",
        &("auth required $ask say=hello off=A: is=x say=bye\n".to_owned() + &all_but("auth")),
    );
    assert_eq!(granted(login("once", "x").await).messages, "hello\nbye\n");
}

#[tokio::test]
async fn an_empty_password_counts_where_it_is_permitted() {
    let Some(machine) = Machine::new() else { return };
    machine.service("null", &("auth required pam_unix.so nodelay nullok\n".to_owned() + &all_but("auth")));
    for permitted in [false, true] {
        let mut request = machine.request("null", "empty", Proof::Password);
        request.permit_empty_passwords = permitted;
        let step = in_time(start(request).password(secret(""))).await.expect("decided");
        assert_eq!(matches!(step, PamStep::Granted(_)), permitted, "{step:?}");
    }
}

#[tokio::test]
async fn a_module_may_not_change_the_user() {
    let Some(machine) = Machine::new() else { return };
    for kind in ["auth", "account"] {
        machine.service("change", &(format!("{kind} required $ask user=root\n") + &all_but(kind)));
        let (_, step) = answer_all(&mut machine.login("change", "alice"), &[]).await;
        assert_eq!(denied(step).refusal, Refusal::Authentication, "{kind}");
    }
}

#[tokio::test]
async fn no_more_tries_is_told_from_a_wrong_answer() {
    let Some(machine) = Machine::new() else { return };
    machine.service("tries", &("auth required $ask tries\n".to_owned() + &all_but("auth")));
    let (_, step) = answer_all(&mut machine.login("tries", "alice"), &[]).await;
    assert_eq!(denied(step).refusal, Refusal::TooManyTries);
}

#[tokio::test]
async fn a_login_in_vain_gives_no_secret_away_and_is_never_granted() {
    let Some(machine) = Machine::new() else { return };
    let script = machine.script("token", "cat >token.was");
    machine.service(
        "token",
        &(format!("auth required pam_exec.so expose_authtok quiet {script}\n") + &all_but("auth")),
    );
    let mut pam = machine.login("token", "alice").in_vain();
    let (asked, step) = answer_all(&mut pam, &["my secret word!!"]).await;
    assert_eq!(asked, ["Password: "]);
    assert_eq!(denied(step).refusal, Refusal::Authentication);
    assert_eq!(machine.read("token.was").trim_end_matches('\0'), "\x08\n\r\x7fINCORRECT\x08\n\r");
    assert!(matches!(in_time(pam.open_session("ssh", "")).await, Err(PamError::NotAsked)));
    // And whoever may log in is taken at their word.
    let (_, step) = answer_all(&mut machine.login("token", "alice"), &["wörd"]).await;
    granted(step);
    assert_eq!(machine.read("token.was").trim_end_matches('\0'), "wörd");
}

#[tokio::test]
async fn answers_too_long_or_with_a_nul_are_refused() {
    let Some(machine) = Machine::new() else { return };
    let mut pam = machine.login("unix", "alice");
    step(&mut pam).await.expect("asked");
    assert!(matches!(pam.answer(vec![secret(&"x".repeat(1025))]), Err(PamError::Wire(_))));
    let (_, step) = answer_all(&mut machine.login("unix", "alice"), &["right\0"]).await;
    assert_eq!(denied(step).refusal, Refusal::Authentication);
}

#[tokio::test]
async fn without_services_nobody_is_granted() {
    let Some(machine) = Machine::new() else { return };
    for (service, folder) in [("no-such-service", "services"), ("unix", "no-such-folder")] {
        let mut request = machine.request(service, "alice", Proof::Answers);
        request.services = Some(machine.path(folder));
        let step = step(&mut start(request)).await.expect("decided");
        let denied = denied(step);
        assert!(!denied.reason.is_empty() && denied.messages.is_empty(), "{denied:?}");
    }
}

#[tokio::test]
async fn the_machines_own_services_are_used_unless_others_are_named() {
    let Some(machine) = Machine::new() else { return };
    std::fs::write("/etc/pam.d/irosh-test", crate::machine::UNIX).expect("a service");
    let mut request = machine.request("irosh-test", "alice", Proof::Answers);
    request.services = None;
    let (_, step) = answer_all(&mut start(request), &["right"]).await;
    granted(step);
}
