//! Checkpoints written by PyTorch, and malicious ones.

use brainreel_testkit::{Golden, Tolerance, assert_close};

use super::pickle::{Pickled, Value, read};
use super::{Refused, TorchError, decode, is_torch};

const NAMES: [&str; 10] = [
    "encoder.0.0.conv.weight",
    "encoder.0.0.conv.bias",
    "transposed",
    "view",
    "half",
    "bfloat16",
    "double",
    "scalar",
    "empty",
    "parameter",
];
const FILES: [&str; 6] =
    ["zip", "zip_plain_dict", "zip_trained", "zip_protocol_4", "legacy", "legacy_trained"];

fn golden() -> Golden {
    Golden::load(env!("CARGO_MANIFEST_DIR"), "checkpoint")
}

fn file(golden: &Golden, name: &str) -> Vec<u8> {
    golden.array(&format!("file:{name}")).data.iter().map(|byte| *byte as u8).collect()
}

#[test]
fn tensors_are_those_that_pytorch_wrote() {
    let golden = golden();
    for name in FILES {
        let bytes = file(&golden, name);
        assert!(is_torch(&bytes), "{name}");
        let found = decode(&bytes, |tensor| tensor != "num_batches_tracked").unwrap();
        assert_eq!(found.len(), NAMES.len(), "{name}: {:?}", found.keys());
        for tensor in NAMES {
            let (got, expected) = (&found[tensor], golden.array(tensor));
            // NumPy writes an array without axes as one with a single axis.
            let shape = if tensor == "scalar" { &[][..] } else { &expected.shape };
            assert_eq!(got.shape, shape, "{name}: {tensor}");
            assert_close(&got.values, &expected.data, Tolerance::absolute(0.0));
        }
    }
}

#[test]
fn integers_are_refused_only_where_they_are_asked_for() {
    let golden = golden();
    for name in ["zip", "legacy"] {
        let refused = decode(&file(&golden, name), |tensor| tensor == "num_batches_tracked");
        assert!(matches!(refused, Err(Refused::DataType { ref got, .. }) if got == "I64"), "{refused:?}");
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let golden = golden();
    for name in ["zip", "legacy", "legacy_trained"] {
        let bytes = file(&golden, name);
        for length in 0..bytes.len() {
            // Missing data of the last storage may go unnoticed only if nothing reads it.
            assert!(decode(&bytes[..length], |_| true).is_err(), "{name} cut to {length} bytes");
        }
    }
}

/// Numbers without a pattern, the same in every run.
fn noise(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn changed_bytes_never_panic_and_never_change_numbers_of_a_zip_unnoticed() {
    let golden = golden();
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for name in ["zip_trained", "zip", "legacy"] {
        let whole = file(&golden, name);
        let expected = decode(&whole, |tensor| tensor == "view").unwrap();
        for _ in 0..4000 {
            let mut bytes = whole.clone();
            for _ in 0..=noise(&mut state) % 3 {
                let at = noise(&mut state) as usize % bytes.len();
                bytes[at] = noise(&mut state) as u8;
            }
            let outcome = decode(&bytes, |tensor| tensor == "view");
            if let (true, Ok(found)) = (name.starts_with("zip"), outcome)
                && let Some(view) = found.get("view")
            {
                assert_eq!(view, &expected["view"], "the checksum of data.pkl and storages covers both");
            }
        }
    }
}

fn unpickle(program: &[u8]) -> Result<(), TorchError> {
    read(program, &mut Pickled::default()).map(|_| ())
}

#[test]
fn code_is_refused_by_name() {
    for (program, name) in [
        (&b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R."[..], "os.system"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x02c__builtin__\ngetattr\n.", "__builtin__.getattr"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", "__globals__"),
    ] {
        let error = unpickle(program).unwrap_err();
        assert!(matches!(error, TorchError::Global { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let long = [b"\x80\x02c".as_slice(), &[b'a'; 5000], b"\n\x1b[2J\n."].concat();
    let error = unpickle(&long).unwrap_err().to_string();
    assert!(error.len() < 250 && !error.contains('\x1b'), "{error}");
}

#[test]
fn instructions_without_sense_are_refused() {
    for program in [
        &b""[..],
        b".",
        b"\x80",
        b"\x80\x00.",
        b"\x80\x02}",
        b"\x80\x02i.",
        b"\x80\x02I5\n.",
        b"\x80\x02Prun\n.",
        b"\x80\x02ttt.",
        b"\x80\x02h\x07.",
        b"\x80\x02(K\x01}(.",
        b"\x80\x02}K\x01a.",
        b"\x80\x02](K\x01u.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02ccollections\nOrderedDict\nK\x02\x85R.",
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02)Q.",
        b"\x80\x02K\x01K\x02b.",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
    ] {
        assert!(unpickle(program).is_err(), "{}", program.escape_ascii());
    }
}

#[test]
fn cycles_and_nesting_end() {
    // A list that holds itself, and a dict under its own key `state_dict`.
    unpickle(b"\x80\x02]q\x00h\x00a.").unwrap();
    let program = b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s.";
    let mut pickled = Pickled::default();
    let (root, _) = read(program, &mut pickled).unwrap();
    assert!(matches!(super::state_dict(&pickled, root), Err(TorchError::NoStateDict { .. })));
    // Tuples in tuples, deeper than any stack of calls.
    let deep = [b"\x80\x02)".as_slice(), &[0x85; 900_000], b"."].concat();
    unpickle(&deep).unwrap();
    let endless = [b"\x80\x02".as_slice(), &[b'N'; 2_000_000], b"."].concat();
    assert!(matches!(unpickle(&endless), Err(TorchError::Limit { .. })));
    // Every step doubles what the last one holds: only references are kept, nothing is copied.
    let mut laughs = b"\x80\x02)".to_vec();
    for _ in 0..1000 {
        laughs.extend(b"2\x86");
    }
    laughs.push(b'.');
    unpickle(&laughs).unwrap();
}

/// `_rebuild_tensor_v2` of a storage of `n` floats.
fn view(n: u16, offset: i32, size: &[i32], stride: &[i32]) -> Vec<u8> {
    let mut program =
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\n".to_vec();
    program.extend(b"U\x010U\x03cpuM");
    program.extend(n.to_le_bytes());
    program.extend(b"tQ");
    number_of(&mut program, offset);
    for numbers in [size, stride] {
        program.push(b'(');
        numbers.iter().for_each(|n| number_of(&mut program, *n));
        program.push(b't');
    }
    program.extend(b"\x89}tR.");
    program
}

fn number_of(program: &mut Vec<u8>, n: i32) {
    program.push(b'J');
    program.extend(n.to_le_bytes());
}

#[test]
fn views_stay_inside_their_storage() {
    let max = i32::MAX;
    for (offset, size, stride) in [
        (0, &[2, 3][..], &[3, 1][..]),
        (2, &[2, 2], &[1, 2]),
        (5, &[1], &[max]),
        (0, &[0, max], &[1, 1]),
        (6, &[0], &[1]),
        (0, &[], &[]),
    ] {
        unpickle(&view(6, offset, size, stride)).unwrap();
    }
    for (offset, size, stride) in [
        (0, &[7][..], &[1][..]),
        (1, &[6], &[1]),
        (-1, &[1], &[1]),
        (0, &[-1], &[1]),
        (0, &[2], &[-1]),
        (0, &[2], &[max]),
        (max, &[1], &[1]),
        (0, &[1000, 1000], &[0, 0]),
        (0, &[max, max, max, max], &[max, max, max, max]),
        (0, &[2, 3], &[1]),
        (0, &[1; 9], &[1; 9]),
        (6, &[], &[]),
    ] {
        let outcome = unpickle(&view(6, offset, size, stride));
        assert!(outcome.is_err(), "{offset} {size:?} {stride:?}");
    }
}

#[test]
fn archives_of_another_kind_are_refused() {
    let golden = golden();
    let whole = file(&golden, "zip");
    let find = |mark: &[u8]| whole.windows(mark.len()).rposition(|window| window == mark).unwrap();
    let entry = find(b"PK\x01\x02");
    let change = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        match decode(&bytes, |_| true).unwrap_err() {
            Refused::Torch(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(change(entry + 10, 8).contains("compressed"));
    assert!(change(entry + 8, 1).contains("encrypted"));
    let end = find(b"PK\x06\x06");
    assert!(change(end + 34, 9).contains("entries"), "half a million entries");
    assert!(change(end + 50, 9).contains("beyond its end"));
    let order = find(b"little");
    assert!(change(order, b'b').contains("big-endian"));
    let error = decode(b"PK\x03\x04 and so on", |_| true).unwrap_err();
    assert!(matches!(error, Refused::Torch(TorchError::Archive { .. })), "{error:?}");
}

#[test]
fn a_damaged_storage_is_noticed() {
    let golden = golden();
    let whole = file(&golden, "zip");
    let number = golden.array("scalar").to_f32()[0].to_le_bytes();
    let at = whole.windows(4).position(|window| window == number).unwrap();
    let mut bytes = whole;
    bytes[at] ^= 1;
    let error = decode(&bytes, |tensor| tensor == "scalar").unwrap_err();
    assert!(matches!(error, Refused::Torch(TorchError::Checksum { .. })), "{error:?}");
    decode(&bytes, |tensor| tensor == "view").unwrap();
}

#[test]
fn only_dicts_of_tensors_are_state_dicts() {
    for program in [&b"\x80\x02]."[..], b"\x80\x02}.", b"\x80\x02K\x05."] {
        let mut pickled = Pickled::default();
        let (root, _) = read(program, &mut pickled).unwrap();
        assert!(super::state_dict(&pickled, root).is_err());
        assert!(!matches!(root, Value::Tensor(_)));
    }
}
