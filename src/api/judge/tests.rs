//! Questions as they are written, and replies of real servers' shapes.

use super::*;

const CHAT: Asking<'static> = Asking {
    api: JudgeApi::Chat,
    model: "judge-1",
    instructions: None,
};

fn question(asking: &Asking<'_>, turn: &str, before: &str) -> Value {
    serde_json::from_str(&write_question(asking, turn, before)).unwrap()
}

#[test]
fn a_chat_question_asks_for_one_token_and_its_alternatives() {
    let body = question(&CHAT, "Say \"hi\"\n", "Be brief.");
    assert_eq!(body["model"], "judge-1");
    assert_eq!(body["max_tokens"], 1);
    assert_eq!(body["temperature"], 0);
    assert_eq!(
        (&body["logprobs"], &body["top_logprobs"]),
        (&json!(true), &json!(10))
    );
    assert_eq!(body["messages"][0]["content"], INSTRUCTIONS);
    assert_eq!(
        body["messages"][1]["content"],
        "<before>\nBe brief.\n</before>\n<request>\nSay \"hi\"\n</request>"
    );
    let own = Asking {
        instructions: Some("Grade."),
        ..CHAT
    };
    let body = question(&own, "hi", "");
    assert_eq!(body["messages"][0]["content"], "Grade.");
    assert_eq!(body["messages"][1]["content"], "<request>\nhi\n</request>");
}

#[test]
fn other_apis_have_questions_of_their_own() {
    let asking = |api| Asking { api, ..CHAT };
    let body = question(&asking(JudgeApi::Predict), "hi", "before");
    assert_eq!(body, json!({"inputs": "before\n\nhi", "truncate": true}));
    let body = question(&asking(JudgeApi::Classify), "hi", "");
    assert_eq!(body, json!({"model": "judge-1", "input": "hi"}));
    let body = question(&asking(JudgeApi::Decisions), "hi", "");
    assert_eq!(body["questions"][0]["levels"].as_array().unwrap().len(), 10);
    assert_eq!(body["questions"][0]["levels"][9]["label"], "9");
    for api in JudgeApi::ALL {
        assert_eq!(JudgeApi::find(api.name()), Some(api));
        assert!(api.default_path().starts_with('/'));
    }
}

#[test]
fn long_text_is_cut_between_characters() {
    let long = ["ä".repeat(1500), "ö".repeat(1500)].concat();
    let body = question(&CHAT, &long, &["x".repeat(500), "é".repeat(399)].concat());
    let content = body["messages"][1]["content"].as_str().unwrap();
    let (before, turn) = content.split_once("</before>").unwrap();
    assert_eq!(before.matches('x').count(), 1, "{before}");
    assert_eq!(before.matches('é').count(), 399);
    let turn = turn
        .trim_start_matches("\n<request>\n")
        .trim_end_matches("\n</request>");
    assert_eq!(turn.chars().count(), MAX_TURN_CHARS);
    assert!(turn.starts_with('ä') && turn.ends_with('ö'));
    let whole = "ü".repeat(MAX_TURN_CHARS);
    assert_eq!(cut_middle(&whole), whole.as_str());
    assert_eq!(cut_start(""), "");
}

fn chat(content: &str, alternatives: &[(&str, f64)]) -> Vec<u8> {
    let top: Vec<Value> = alternatives
        .iter()
        .map(|(token, p)| json!({"token": token, "logprob": p.ln(), "bytes": null}))
        .collect();
    let logprobs = match top.is_empty() {
        true => Value::Null,
        false => json!({"content": [{"token": content, "logprob": -0.1, "top_logprobs": top}]}),
    };
    let reply = json!({
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "length", "logprobs": logprobs,
            "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 180, "completion_tokens": 1},
    });
    reply.to_string().into_bytes()
}

#[test]
fn the_whole_distribution_counts() {
    let reply = chat("9", &[("9", 0.5), (" 0", 0.3), ("The", 0.1)]);
    let grade = read_reply(JudgeApi::Chat, &reply).unwrap();
    assert!((grade.mean - 0.625).abs() < 1e-4, "{grade:?}");
    assert!((grade.spread - 0.4841).abs() < 1e-3, "{grade:?}");
    let tokens = JudgeTokens {
        input: 180,
        output: 1,
    };
    assert_eq!(read_tokens(&reply), Some(tokens));
    let sure = read_reply(JudgeApi::Chat, &chat("3", &[("3", 1.0)])).unwrap();
    assert!((sure.mean - 1.0 / 3.0).abs() < 1e-6 && sure.spread == 0.0);
}

#[test]
fn text_counts_if_there_is_no_distribution() {
    let single = |mean| Grade {
        mean,
        spread: SINGLE_GRADE_SPREAD,
    };
    for (text, mean) in [("0", 0.0), (" 9", 1.0), ("\"9\".", 1.0)] {
        assert_eq!(
            read_reply(JudgeApi::Chat, &chat(text, &[])),
            Ok(single(mean))
        );
    }
    // Alternatives that are no grades say nothing.
    let reply = chat("9", &[("The", 0.9), ("9", 0.01)]);
    assert_eq!(read_reply(JudgeApi::Chat, &reply), Ok(single(1.0)));
    for text in ["", "10", "hard", "-1", "9 9", "٣"] {
        let read = read_reply(JudgeApi::Chat, &chat(text, &[]));
        assert_eq!(read, Err(JudgeReplyError::NoGrade), "{text}");
    }
}

#[test]
fn classes_run_from_the_hardest_to_the_easiest() {
    let reply = br#"{"object":"list","data":[{"index":0,"label":"easy","probs":[0.25,0.0,0.75],"num_classes":3}]}"#;
    let grade = read_reply(JudgeApi::Classify, reply).unwrap();
    assert!((grade.mean - 0.75).abs() < 1e-6 && grade.spread > 0.4);
    let reply = br#"{"data":[{"probs":[0.4]}]}"#;
    let grade = read_reply(JudgeApi::Classify, reply).unwrap();
    assert!((grade.mean - 0.4).abs() < 1e-6 && grade.spread == SINGLE_GRADE_SPREAD);
    for reply in [r#"{"data":[{"probs":[2,3]}]}"#, r#"{"data":[]}"#, "[]"] {
        let read = read_reply(JudgeApi::Classify, reply.as_bytes());
        assert_eq!(read, Err(JudgeReplyError::WrongShape), "{reply}");
    }
    let read = read_reply(JudgeApi::Classify, br#"{"data":[{"probs":[0.0,0.0]}]}"#);
    assert_eq!(read, Err(JudgeReplyError::NoGrade));
}

#[test]
fn labels_say_their_place() {
    let reply = br#"[{"score":0.8,"label":"LABEL_1"},{"score":0.2,"label":"LABEL_0"}]"#;
    let grade = read_reply(JudgeApi::Predict, reply).unwrap();
    assert!((grade.mean - 0.8).abs() < 1e-6);
    let reply = br#"[[{"score":0.5,"label":"Easy"},{"score":0.5,"label":"hard"}]]"#;
    let grade = read_reply(JudgeApi::Predict, reply).unwrap();
    assert!((grade.mean - 0.5).abs() < 1e-6);
    let unknown = br#"[{"score":0.5,"label":"cat"},{"score":0.5,"label":"dog"}]"#;
    assert_eq!(
        read_reply(JudgeApi::Predict, unknown),
        Err(JudgeReplyError::NoGrade)
    );
    let beyond = br#"[{"score":0.5,"label":"LABEL_7"},{"score":0.5,"label":"LABEL_1"}]"#;
    assert_eq!(
        read_reply(JudgeApi::Predict, beyond),
        Err(JudgeReplyError::NoGrade)
    );
}

#[test]
fn decisions_answer_with_levels() {
    let reply = br#"{"model":"m","answers":[{"type":"score","name":"grade","score":4.5,"confidence":0.5,
        "probabilities":[{"label":"0","value":0,"probability":0.5},{"label":"9","value":9,"probability":0.5}]}],
        "usage":{"input_tokens":90,"output_tokens":0}}"#;
    let grade = read_reply(JudgeApi::Decisions, reply).unwrap();
    assert!((grade.mean - 0.5).abs() < 1e-6 && (grade.spread - 0.5).abs() < 1e-6);
    assert_eq!(read_tokens(reply).unwrap().input, 90);
    let refusal = br#"{"answers":[{"type":"refusal","name":"grade"}]}"#;
    assert_eq!(
        read_reply(JudgeApi::Decisions, refusal),
        Err(JudgeReplyError::Refused)
    );
}

#[test]
fn nonsense_is_no_grade() {
    for api in JudgeApi::ALL {
        assert_eq!(read_reply(api, b"<html>"), Err(JudgeReplyError::NotJson));
        assert_eq!(read_reply(api, b"\xff"), Err(JudgeReplyError::NotJson));
        assert_eq!(read_reply(api, b"{}"), Err(JudgeReplyError::WrongShape));
        let long = vec![b' '; MAX_REPLY_BYTES + 1];
        assert_eq!(read_reply(api, &long), Err(JudgeReplyError::TooLong));
        let deep = "[".repeat(10_000);
        assert_eq!(
            read_reply(api, deep.as_bytes()),
            Err(JudgeReplyError::NotJson)
        );
    }
    assert_eq!(read_tokens(b"{}"), None);
    // Probabilities that add up to more than 1 are a lie.
    let lie = chat("9", &[("9", 5.0), ("8", 7.0)]);
    assert_eq!(
        read_reply(JudgeApi::Chat, &lie).unwrap().spread,
        SINGLE_GRADE_SPREAD
    );
}
