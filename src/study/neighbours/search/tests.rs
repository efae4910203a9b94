//! Neighbours found in blocks, compared with all cosines in f64 and with each other.

use super::*;
use crate::base::progress::Silent;
use crate::base::rng::Rng;
use crate::device::tune::Table;
use crate::device::{Gpu, GpuOptions};
use crate::study::neighbours::unit;
use crate::study::testing::{Heard, with_job};

/// `rows` rows of `width` numbers around 0, scaled to length 1.
fn random(rows: usize, width: usize, stream: u32) -> Vec<f32> {
    let mut rng = Rng::new(3, stream, 0);
    unit(&(0..rows * width).map(|_| rng.normal()).collect::<Vec<_>>(), width)
}

/// Every way to search, with block sizes that divide neither the bank nor the queries.
fn all_ways(job: &Job<'_>, search: &Search<'_>) -> Vec<(String, Vec<Near>)> {
    let mut found = vec![("host".to_string(), search.on_host().unwrap())];
    for route in [Route::Product, Route::TopK] {
        for (queries, bank) in [(10, 64), (37, 33), (64, 256)] {
            let blocks = Blocks { route, queries, bank };
            let schedule = search.schedule(job.gpu, blocks).unwrap();
            found.push((format!("{blocks:?}"), search.in_blocks(job, blocks, schedule).unwrap()));
        }
    }
    found
}

#[test]
fn neighbours_in_blocks_are_those_of_f64() {
    with_job("", &Silent, |job| {
        for (width, k) in [(1, 3), (19, 1), (19, 20), (64, 70), (19, 500)] {
            let (bank, queries) = (random(203, width, 1), random(37, width, 2));
            let search = Search { bank: &bank, queries: &queries, width, k };
            let ways = all_ways(job, &search);
            for (name, found) in &ways {
                assert_eq!(found, &ways[0].1, "{name}, width {width}, k {k}");
            }
            for (query, found) in queries.chunks_exact(width).zip(&ways[0].1) {
                let exact =
                    |row: &[f32]| row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                let all: Vec<f64> = bank.chunks_exact(width).map(exact).collect();
                let mut order: Vec<usize> = (0..all.len()).collect();
                order.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
                assert_eq!(found.len(), k.min(203));
                for ((cosine, place), due) in found.iter().zip(order) {
                    assert!((f64::from(*cosine) - all[*place]).abs() < 1e-6);
                    assert!((all[*place] - all[due]).abs() < 1e-6, "width {width}, k {k}: {place} and not {due}");
                }
            }
        }
    });
}

/// There are more equal rows than any block keeps, so each block may hide some, and the host goes through it.
#[test]
fn of_equal_rows_the_earlier_is_nearer() {
    with_job("", &Silent, |job| {
        let (width, kinds) = (8, random(3, 8, 1));
        let bank: Vec<f32> = (0..203).flat_map(|i| kinds[i % 3 * width..][..width].to_vec()).collect();
        let queries = kinds.repeat(4);
        for k in [1, 5, 68] {
            let search = Search { bank: &bank, queries: &queries, width, k };
            for (name, found) in all_ways(job, &search) {
                for (query, near) in found.iter().enumerate() {
                    let places: Vec<usize> = near.iter().map(|n| n.1).filter(|place| place % 3 == query % 3).collect();
                    let due: Vec<usize> = (0..203).filter(|place| place % 3 == query % 3).take(k).collect();
                    assert_eq!(places, due, "{name}, k {k}, query {query}");
                }
            }
        }
    });
}

#[test]
fn a_product_that_rounding_does_not_explain_is_an_error() {
    let (bank, queries) = (random(4, 5, 1), random(1, 5, 2));
    let search = Search { bank: &bank, queries: &queries, width: 5, k: 2 };
    let products: Vec<f32> = (0..4).map(|place| search.cosine(&queries, place)).collect();
    let kept = |by: f32| {
        let products = products.iter().map(|p| p + by).collect();
        [Kept { from: 0, rows: 4, all: true, each: 4, products, places: vec![0, 1, 2, 3] }]
    };
    assert_eq!(search.decide(&queries, 0, &kept(0.0)).unwrap(), search.on_host().unwrap()[0]);
    let e = search.decide(&queries, 0, &kept(1e-5)).unwrap_err().to_string();
    assert!(e.contains("further apart than rounding allows"), "{e}");
}

#[test]
fn blocks_fit_the_adapter_and_the_budget() {
    with_job("", &Silent, |job| {
        let (bank, queries) = (random(3000, 128, 1), random(1000, 128, 2));
        let search = Search { bank: &bank, queries: &queries, width: 128, k: 7 };
        let blocks = |gpu: &Gpu| search.fitting(gpu, Blocks::most(gpu, &search)).unwrap().map(|found| found.0);
        let most = blocks(job.gpu).unwrap();
        assert_eq!(most, Blocks::most(job.gpu, &search));
        assert_eq!(most.queries, 1000);
        let small = |bytes| GpuOptions { memory_budget_bytes: Some(bytes), ..GpuOptions::default() };
        let tight = blocks(&Gpu::open(&small(1 << 20)).unwrap()).unwrap();
        assert!(tight.bank < most.bank && tight.queries < most.queries, "{tight:?}");
        // If no block fits, the host finds the same neighbours.
        let heard = Heard::default();
        let none = Gpu::open(&small(1 << 10)).unwrap();
        let found = search.run(&Job { gpu: &none, progress: &heard, kernels: Table::default(), ..*job }).unwrap();
        assert!(heard.lines()[0].contains("found on the host, which takes longer"), "{:?}", heard.lines());
        assert_eq!(found, search.run(job).unwrap());
    });
}
