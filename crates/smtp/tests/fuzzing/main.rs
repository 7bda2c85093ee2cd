//! A bounded run of the fuzzers' bodies with fixed seeds. `cargo fuzz` runs them without bound (`fuzz/README.md`).
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod body;

/// What a server may say, whole and in part, legal and not.
const PHRASES: [&[u8]; 44] = [
    b"220 mx.example\r\n",
    b"250 ok\r\n",
    b"250 ok\r\n",
    b"250 ok\r\n",
    b"250\r\n",
    b"250\n",
    b"250 \n",
    b"250-\r\n",
    b"250-mx.example\r\n",
    b"250-PIPELINING\r\n",
    b"250 PIPELINING\r\n",
    b"250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
    b"250-SIZE 10\r\n",
    b"250 2.1.0 caf\xe9\r\n",
    b"251 x\r\n",
    b"235 ok\r\n",
    b"334 VXNlcm5hbWU6\r\n",
    b"354 go\r\n",
    b"354 go\r\n",
    b"354\n",
    b"299 odd\r\n",
    b"421 4.3.2 bye\r\n",
    b"450 4.2.1 later\r\n",
    b"454 later\r\n",
    b"500 what\r\n",
    b"503 5.5.1 order\r\n",
    b"535 5.7.8 no\r\n",
    b"550 5.1.1 unknown\r\n",
    b"550-5.1.1 unknown\r\n550 5.1.1 really\r\n",
    b"554 5.7.1 spam\r\n",
    b"554",
    b"2",
    b"250",
    b"25x\r\n",
    b"2500 x\r\n",
    b"000 x\r\n",
    b"999 x\r\n",
    b"\r\n",
    b"\n",
    b"\0",
    b"hello\r\n",
    b" continued\r\n",
    b"\xff\xfe",
    b"5.1.1\r\n",
];
/// Refusals that repeat what was sent.
const ECHOES: [&[u8]; 2] =
    [b"535 5.7.8 AUTH PLAIN AGJhbmsAczNjcmV0LXMzY3JldA==\r\n|", b"535 czNjcmV0LXMzY3JldA==\r\n|"];
const CASES: usize = 20_000;

/// Numbers in a fixed order (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn phrase(&mut self) -> &'static [u8] {
        PHRASES[self.below(PHRASES.len())]
    }
}

/// A conversation that succeeds, with some of its replies replaced, repeated, cut, or left out.
fn conversation(numbers: &mut Numbers) -> Vec<u8> {
    let is_pipelined = numbers.chance(2);
    let wants = u8::try_from(numbers.below(8)).unwrap();
    let hello: &[u8] = if is_pipelined { b"250-PIPELINING\r\n" } else { b"250-mx\r\n" };
    let hello = [b"250-mx\r\n", hello, b"250-STARTTLS\r\n250 AUTH LOGIN PLAIN\r\n|"].concat();
    let mut turns: Vec<&[u8]> = vec![b"220 mx\r\n|", &hello];
    if wants & 1 != 0 {
        turns.extend([b"220 go\r\n|", &hello[..]]);
    }
    if wants & 2 != 0 {
        turns.push(if numbers.chance(16) { ECHOES[numbers.below(2)] } else { b"235 ok\r\n|" });
    }
    for _ in 0..2 {
        let between: &[u8] = if is_pipelined { b"" } else { b"|" };
        turns.extend([b"250 a\r\n", between, b"250 b\r\n", between, b"354 c\r\n|", b"250 queued\r\n|"]);
    }
    let mut case = vec![u8::try_from(numbers.below(256)).unwrap(), wants];
    for turn in turns {
        match numbers.below(96) {
            0 => {}
            1 => case.extend([numbers.phrase(), turn].concat()),
            2 => case.extend([numbers.phrase(), b"|"].concat()),
            3 => case.extend([turn, turn].concat()),
            4 => case.extend(&turn[..numbers.below(turn.len() + 1)]),
            5 => case.extend(numbers.phrase().repeat(numbers.below(3))),
            _ => case.extend(turn),
        }
    }
    if numbers.chance(4) {
        let at = 2 + numbers.below(case.len() - 2);
        case[at] = u8::try_from(numbers.below(256)).unwrap();
    }
    case
}

#[test]
fn no_server_makes_a_copy_or_loses_one() {
    let mut numbers = Numbers(0x5eed_0001);
    let accepted: usize = (0..CASES).map(|_| body::conversation(&conversation(&mut numbers))).sum();
    assert!((CASES / 2..CASES * 3 / 2).contains(&accepted), "{accepted} of {} messages: most cases succeed", CASES * 2);
}

#[test]
fn endless_replies_are_bounded() {
    for endless in [&b"250 x"[..], b"250-x\r\n", b"250-", b"\r\n", b"550 5.1.1 ", b"x"] {
        let endless = endless.repeat(400_000 / endless.len());
        for turns in
            [vec![], vec![&b"220 mx\r\n|"[..]], vec![b"220 mx\r\n|", b"250 mx\r\n|", b"250 a\r\n|250 b\r\n|354 c\r\n|"]]
        {
            body::conversation(&[&[255, 0][..], &turns.concat(), &endless].concat());
        }
    }
}

#[test]
fn replies_are_the_same_in_any_pieces() {
    let mut numbers = Numbers(0x5eed_0002);
    for _ in 0..CASES {
        let mut case = vec![u8::try_from(numbers.below(256)).unwrap()];
        for _ in 0..numbers.below(8) {
            case.extend(numbers.phrase());
        }
        body::replies(&case);
    }
}
