//! The fuzz targets over their seeds and a bounded number of random inputs, so that they neither rot
//! nor need a fuzzer to find what is near.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

/// Random inputs a target; the same in every run.
const INPUTS: usize = 4_000;

#[test]
fn every_target_survives_its_seeds_and_random_bytes() {
    for (name, target) in targets::ALL {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| target(seed));
        let mut random = fastrand::Rng::with_seed(1994);
        for _ in 0..INPUTS {
            target(&mutated(&seeds, &mut random));
        }
    }
}

#[test]
fn every_target_is_one_of_the_fuzzer_too() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a file");
    for (name, _) in targets::ALL {
        let file = fuzz().join("fuzz_targets").join(format!("{name}.rs"));
        let text = fs::read_to_string(file).expect("a target of that name");
        assert!(text.contains(&format!("targets::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = fuzz().join("seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder of seeds")
        .map(|file| file.expect("readable").path())
        .collect();
    files.sort();
    let read = |path| fs::read(path).expect("a seed");
    files.into_iter().map(read).collect()
}

/// A piece of one seed behind a piece of another, with some bytes changed, dropped or added.
fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    const TELLING: &[u8] = b"\",;=:*\\\n \t09aZ-\xff";
    let mut piece = || {
        let seed = &seeds[random.usize(..seeds.len())];
        let end = random.usize(..=seed.len());
        let begin = random.usize(..=end);
        seed[begin..end].to_vec()
    };
    let mut data = [piece(), piece()].concat();
    for _ in 0..random.usize(..8) {
        let at = random.usize(..=data.len());
        let byte = match random.bool() {
            true => TELLING[random.usize(..TELLING.len())],
            false => random.u8(..),
        };
        match random.u8(..3) {
            0 => data.insert(at, byte),
            _ if at == data.len() => {}
            1 => data[at] = byte,
            _ => drop(data.remove(at)),
        }
    }
    data
}

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}
