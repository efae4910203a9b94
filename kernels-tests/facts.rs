//! T1: facts that hold for an op whatever its numbers are. They need no reference.

use crate::harness::quick::{Input, near, run};
use libtest_mimic::{Failed, Trial};
use wgslab::base::rng::Rng;
use wgslab::kernels::conv2d::Conv2d;
use wgslab::tape::Type;

/// The trials.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(format!("T1 facts {name}"), move || test().map_err(Failed::from))
    };
    vec![
        trial("conv2d with one 1 shifts", shift),
        trial("batch_norm gives mean 0 and variance 1", standard),
        trial("an offset of the input does not change batch_norm", offset),
        trial("an offset of a row does not change cross_entropy", softmax),
        trial("linear is x·wᵀ + b", linear),
        trial("a NaN in either operand is the maximum and the minimum", nan),
        trial("the order of the views does not change nt_xent", views),
        trial("nt_xent of equal rows is log(2N − 1)", equal_rows),
        trial("sgd without momentum is a step along the gradient", plain_sgd),
    ]
}

fn normal(n: usize, stream: u32) -> Vec<f32> {
    let mut rng = Rng::new(6, stream, 0);
    (0..n).map(|_| rng.normal()).collect()
}

/// Values and gradients of a linear layer against the formula in f64. The layer has no kernels of its own.
fn linear() -> Result<(), String> {
    let (m, n, k) = (5, 7, 6);
    let (x, w, b, dy) = (normal(m * k, 0), normal(n * k, 1), normal(n, 2), normal(m * n, 3));
    let inputs = [
        Input::f32("x", &[m, k], &x),
        Input::f32("w", &[n, k], &w),
        Input::f32("b", &[n], &b),
        Input::f32("dy", &[m, n], &dy),
    ];
    let got = run(&inputs, |t, v| {
        let y = t.linear(v["x"], v["w"], Some(v["b"]))?;
        let bare = t.linear(v["x"], v["w"], None)?;
        let grads = t.backward(&[y], &[Some(v["dy"])], &[v["x"], v["w"], v["b"]])?;
        let named = ["dx", "dw", "db"].into_iter().zip(grads).filter_map(|(name, g)| Some((name, g?)));
        Ok([("y", y), ("bare", bare)].into_iter().chain(named).collect())
    })?;
    let at = |a: &[f32], i: usize| f64::from(a[i]);
    let sum = |count: usize, term: &dyn Fn(usize) -> f64| (0..count).map(term).sum::<f64>() as f32;
    let product = |i: usize| sum(k, &|c| at(&x, i / n * k + c) * at(&w, i % n * k + c));
    let want: [(&str, Vec<f32>); 5] = [
        ("bare", (0..m * n).map(product).collect()),
        ("y", (0..m * n).map(|i| product(i) + b[i % n]).collect()),
        ("dx", (0..m * k).map(|i| sum(n, &|j| at(&dy, i / k * n + j) * at(&w, j * k + i % k))).collect()),
        ("dw", (0..n * k).map(|i| sum(m, &|j| at(&dy, j * n + i / k) * at(&x, j * k + i % k))).collect()),
        ("db", (0..n).map(|i| sum(m, &|j| at(&dy, j * n + i))).collect()),
    ];
    for (name, want) in want {
        near(name, got.get(name).ok_or_else(|| format!("{name} is missing"))?, &want, 1e-6)?;
    }
    Ok(())
}

fn nan() -> Result<(), String> {
    let (a, b) = ([f32::NAN, 1.0, f32::NAN, 2.0, -0.5], [1.0, f32::NAN, f32::NAN, -3.0, 4.0]);
    let inputs = [Input::f32("a", &[5], &a), Input::f32("b", &[5], &b)];
    let got = run(&inputs, |t, v| {
        Ok(vec![("maximum", t.maximum(v["a"], v["b"])?), ("minimum", t.minimum(v["a"], v["b"])?)])
    })?;
    for (name, numbers) in [("maximum", [2.0, 4.0]), ("minimum", [-3.0, -0.5])] {
        let got = &got[name];
        if !got[..3].iter().all(|v| v.is_nan()) || got[3..] != numbers {
            return Err(format!("the {name} of {a:?} and {b:?} is {got:?}"));
        }
    }
    Ok(())
}

/// A 3×3 filter that is 1 at (0, 2) takes the pixel that is one up and one to the right.
fn shift() -> Result<(), String> {
    let (h, w) = (5, 6);
    let x = normal(h * w, 0);
    let mut filter = [0.0f32; 9];
    filter[2] = 1.0;
    let inputs = [Input::f32("x", &[1, 1, h, w], &x), Input::f32("w", &[1, 1, 3, 3], &filter)];
    let got = run(&inputs, |t, v| Ok(vec![("y", t.conv2d(v["x"], v["w"], Conv2d::new(1, 1))?)]))?;
    let at = |i: usize| if i < w || i % w == w - 1 { 0.0 } else { x[i - w + 1] };
    near("y", &got["y"], &(0..h * w).map(at).collect::<Vec<_>>(), 0.0)
}

fn batch_normed(x: &[f32], n: usize, c: usize) -> Result<Vec<f32>, String> {
    let inputs = [
        Input::f32("x", &[n, c], x),
        Input::f32("weight", &[c], &vec![1.0; c]),
        Input::f32("bias", &[c], &vec![0.0; c]),
    ];
    let mut got = run(&inputs, |t, v| Ok(vec![("y", t.batch_norm(v["x"], v["weight"], v["bias"], 1e-5)?[0])]))?;
    got.remove("y").ok_or_else(|| "there is no y".into())
}

fn standard() -> Result<(), String> {
    let (n, c) = (64, 3);
    let x: Vec<f32> = normal(n * c, 1).iter().map(|v| 3.0 + 7.0 * v).collect();
    let y = batch_normed(&x, n, c)?;
    for channel in 0..c {
        let of = || y.iter().skip(channel).step_by(c).map(|v| *v as f64);
        let mean = of().sum::<f64>() / n as f64;
        let variance = of().map(|v| v * v).sum::<f64>() / n as f64;
        if mean.abs() > 1e-6 || (variance - 1.0).abs() > 1e-5 {
            return Err(format!("channel {channel} has mean {mean:e} and variance {variance}"));
        }
    }
    Ok(())
}

/// Adding 256 to small multiples of 1/256 is exact, so only the kernel's arithmetic can make a difference.
fn offset() -> Result<(), String> {
    let (n, c) = (64, 3);
    let x: Vec<f32> = normal(n * c, 2).iter().map(|v| (v * 256.0).round() / 256.0).collect();
    let moved: Vec<f32> = x.iter().map(|v| v + 256.0).collect();
    near("y", &batch_normed(&moved, n, c)?, &batch_normed(&x, n, c)?, 1e-4)
}

fn softmax() -> Result<(), String> {
    let (n, k) = (5, 7);
    let x: Vec<f32> = normal(n * k, 3).iter().map(|v| (v * 64.0).round() / 64.0).collect();
    let moved: Vec<f32> = x.iter().enumerate().map(|(i, v)| v + 64.0 * (i / k) as f32 - 128.0).collect();
    let losses = |x: &[f32]| {
        let labels = Input { name: "labels".into(), ty: Type::u32([n]), words: (0..n as u32).collect() };
        let inputs = [Input::f32("x", &[n, k], x), labels, Input::f32("weights", &[n], &vec![1.0; n])];
        run(&inputs, |t, v| {
            let [loss, rows, _] = t.cross_entropy(v["x"], v["labels"], v["weights"])?;
            let dx = t.gradient(loss, &[v["x"]])?[0];
            Ok(vec![("rows", rows), ("dx", dx.unwrap())])
        })
    };
    let (a, b) = (losses(&x)?, losses(&moved)?);
    near("losses", &b["rows"], &a["rows"], 3e-5)?;
    near("gradient", &b["dx"], &a["dx"], 3e-5)?;
    let sums: Vec<f32> = a["dx"].chunks(k).map(|row| row.iter().sum()).collect();
    if sums.iter().any(|s| s.abs() > 1e-6) {
        return Err(format!("the gradient of a row must sum to 0: {sums:?}"));
    }
    Ok(())
}

fn nt_xent(z: &[f32], rows: usize) -> Result<f32, String> {
    let inputs = [Input::f32("x", &[rows, z.len() / rows], z)];
    let got = run(&inputs, |t, v| {
        let z = t.l2_normalize(v["x"], 1e-12)?;
        Ok(vec![("loss", t.nt_xent(z, 0.2)?)])
    })?;
    Ok(got["loss"][0])
}

fn views() -> Result<(), String> {
    let (rows, d) = (22, 9);
    let z = normal(rows * d, 4);
    let (first, second) = z.split_at(z.len() / 2);
    near("loss", &[nt_xent(&[second, first].concat(), rows)?], &[nt_xent(&z, rows)?], 1e-6)
}

fn equal_rows() -> Result<(), String> {
    let z = normal(8, 5).repeat(12);
    near("loss", &[nt_xent(&z, 12)?], &[11f32.ln()], 1e-5)
}

fn plain_sgd() -> Result<(), String> {
    let (w, g) = (normal(11, 6), normal(11, 7));
    let inputs = [
        Input::f32("w", &[11], &w),
        Input::f32("g", &[11], &g),
        Input::f32("v", &[11], &[0.0; 11]),
        Input::f32("numbers", &[64], &[0.25; 64]),
    ];
    let got = run(&inputs, |t, v| {
        let op = wgslab::kernels::sgd::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0, lr: 5 };
        let y = t.apply(op, &[v["w"], v["g"], v["v"], v["numbers"]])?;
        Ok(vec![("w", y[0])])
    })?;
    let want: Vec<f32> = w.iter().zip(&g).map(|(w, g)| w - 0.25 * g).collect();
    near("w", &got["w"], &want, 1e-7)
}
