//! Products, norms and softmax.

use super::{Case, Ended, fixed, numel, size, wanted};
use burn::nn::GroupNormConfig;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::module::{attention, batch_norm_train, conv2d, layer_norm};
use burn::tensor::ops::{AttentionModuleOptions, ConvOptions};
use burn::tensor::{Bool, Distribution, Tensor};

impl Case<'_> {
    pub(super) fn conv2d(&mut self) -> Ended {
        let (x, w): ([usize; 4], [usize; 4]) = (self.dims("x")?, self.dims("weight")?);
        let [stride, dilation, groups] = ["stride", "dilation", "groups"].map(|n| self.whole(n, 1));
        let padding = self.whole("padding", 0);
        let side = |i: usize| (x[i] + 2 * padding - dilation * (w[i] - 1) - 1) / stride + 1;
        let y = [x[0], w[0], side(2), side(3)];
        let cost = (2 * numel(&y) * numel(&w[1..]), size(&[&x, &w, &y]));
        let options = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], groups);
        let run = move |(x, w): (Tensor<4>, Tensor<4>)| conv2d(x, w, None, options.clone());
        let (x, w) = (self.normal("x", x), self.normal("weight", w));
        self.forward((x.clone(), w.clone()), cost, run.clone());
        self.gradient("grad_input", (wanted(&x), fixed(&w)), cost, run.clone());
        self.gradient("grad_weight", (fixed(&x), wanted(&w)), cost, run);
        Ok(())
    }

    pub(super) fn matmul(&mut self) -> Ended {
        let (a, b) = (self.list("a")?, self.list("b")?);
        let (trans_a, trans_b) = (self.flag("trans_a"), self.flag("trans_b"));
        // All batches are one axis before the matrix. Without batches that axis is 1.
        let three = |d: &[usize]| match *d {
            [m, n] => Ok([1, m, n]),
            [z, m, n] => Ok([z, m, n]),
            _ => Err("products of 2 or 3 dimensions are timed here".to_string()),
        };
        let ([z, am, ak], [_, bk, bn]) = (three(&a)?, three(&b)?);
        let (m, k) = if trans_a { (ak, am) } else { (am, ak) };
        let n = if trans_b { bk } else { bn };
        let cost = (2 * numel(&[z, m, n, k]), size(&[&a, &b, &[z, m, n]]));
        self.say("a", &a, "f32");
        self.say("b", &b, "f32");
        let random = |d: [usize; 3]| Tensor::<3>::random(d, Distribution::Normal(0.0, 1.0), self.device);
        let (a3, b3) = (random([z, am, ak]), random([z, bk, bn]));
        let turned = |t: Tensor<2>, yes: bool| if yes { t.transpose() } else { t };
        if a.len() == 2 {
            let inputs = (a3.reshape([am, ak]), b3.reshape([bk, bn]));
            self.forward(inputs, cost, move |(a, b)| turned(a, trans_a).matmul(turned(b, trans_b)));
        } else {
            let turned = |t: Tensor<3>, yes: bool| if yes { t.swap_dims(1, 2) } else { t };
            self.forward((a3, b3), cost, move |(a, b)| turned(a, trans_a).matmul(turned(b, trans_b)));
        }
        Ok(())
    }

    pub(super) fn add_bias(&mut self) -> Ended {
        let x: [usize; 2] = self.dims("x")?;
        let n = x[1];
        let (forward, grad) = (size(&[&x, &x, &[n]]), size(&[&x, &[n]]));
        let run = |(x, bias): (Tensor<2>, Tensor<1>)| x + bias.unsqueeze::<2>();
        let (flops, x) = (numel(&x), self.normal("x", x));
        let bias = self.normal("bias", [n]);
        self.forward((x.clone(), bias.clone()), (flops, forward), run);
        self.gradient("grad_bias", (fixed(&x), wanted(&bias)), (flops, grad), run);
        Ok(())
    }

    pub(super) fn attention(&mut self) -> Ended {
        let (q, k): ([usize; 4], [usize; 4]) = (self.dims("q")?, self.dims("k")?);
        let ([b, h, t, e], s, is_causal) = (q, k[2], self.flag("causal"));
        let of_head: usize = if is_causal { (1..=t).map(|i| i.min(s)).sum() } else { t * s };
        let (work, lse) = (numel(&[b, h, of_head, e]), [b, h, t]);
        let options = AttentionModuleOptions { is_causal, ..AttentionModuleOptions::default() };
        let run = move |(q, k, v): (Tensor<4>, Tensor<4>, Tensor<4>)| {
            attention(q, k, v, None::<Tensor<4, Bool>>, None, options)
        };
        let (forward, grad) = (size(&[&q, &k, &k, &q, &lse]), size(&[&q, &k, &k, &q, &lse, &q, &q, &k, &k]));
        let (q, k, v) = (self.normal("q", q), self.normal("k", k), self.normal("v", k));
        self.forward((q.clone(), k.clone(), v.clone()), (4 * work, forward), run);
        self.gradient("grad", (wanted(&q), wanted(&k), wanted(&v)), (10 * work, grad), run);
        Ok(())
    }

    // Norms and softmax

    pub(super) fn affine(&mut self, n: usize) -> (Tensor<1>, Tensor<1>) {
        (self.filled("weight", [n], Distribution::Uniform(0.5, 1.5)), self.normal("bias", [n]))
    }

    pub(super) fn batch_norm(&mut self) -> Ended {
        if self.whole("splits", 1) != 1 {
            return Err("Burn's batch_norm has no splits".into());
        }
        match self.list("x")?.len() {
            2 => self.batch_norm_of::<2>(),
            _ => self.batch_norm_of::<4>(),
        }
    }

    pub(super) fn batch_norm_of<const D: usize>(&mut self) -> Ended {
        let (dims, eps): ([usize; D], f64) = (self.dims("x")?, self.real("eps", 1e-5));
        let (n, bytes) = (numel(&dims), size(&[&dims]));
        let x = self.normal("x", dims);
        let (w, b) = self.affine(dims[1]);
        let run = move |(x, w, b): (Tensor<D>, Tensor<1>, Tensor<1>)| batch_norm_train(x, w, b, eps).output;
        self.forward((x.clone(), w.clone(), b.clone()), (8 * n, 3 * bytes), run);
        self.gradient("grad", (wanted(&x), wanted(&w), wanted(&b)), (9 * n, 5 * bytes), run);
        Ok(())
    }

    pub(super) fn group_norm(&mut self) -> Ended {
        let dims: [usize; 4] = self.dims("x")?;
        let (n, bytes) = (numel(&dims), size(&[&dims]));
        let config = GroupNormConfig::new(self.whole("groups", 1), dims[1]).with_epsilon(self.real("eps", 1e-5));
        let x = self.normal("x", dims);
        self.affine(dims[1]);
        let plain = config.init(self.device);
        self.forward(x.clone(), (8 * n, 3 * bytes), move |x| plain.forward(x));
        // On such a device all parameters of a module want their gradients.
        let trained = config.init(&self.device.clone().autodiff());
        self.gradient("grad", wanted(&x), (9 * n, 5 * bytes), move |x| trained.forward(x));
        Ok(())
    }

    pub(super) fn layer_norm(&mut self) -> Ended {
        let (x, eps): ([usize; 2], f64) = (self.dims("x")?, self.real("eps", 1e-5));
        let ([n, d], count) = (x, numel(&x));
        let forward = size(&[&x, &[d], &[d], &x, &[n], &[n]]);
        let grad = size(&[&x, &[d], &[n], &[n], &x, &x, &[d], &[d]]);
        let x = self.normal("x", x);
        let (w, b) = self.affine(d);
        let run = move |(x, w, b): (Tensor<2>, Tensor<1>, Tensor<1>)| layer_norm(x, w, Some(b), eps);
        self.forward((x.clone(), w.clone(), b.clone()), (8 * count, forward), run);
        self.gradient("grad", (wanted(&x), wanted(&w), wanted(&b)), (14 * count, grad), run);
        Ok(())
    }

    pub(super) fn l2_normalize(&mut self) -> Ended {
        let (x, eps): ([usize; 2], f64) = (self.dims("x")?, self.real("eps", 1e-12));
        self.form.composed = true;
        let (n, rows) = (numel(&x), [x[0]]);
        let (forward, grad) = (size(&[&x, &x, &rows]), size(&[&x, &rows, &x, &x]));
        let run = move |x: Tensor<2>| x.clone() / x.powi_scalar(2).sum_dim(1).sqrt().clamp_min(eps);
        let x = self.normal("x", x);
        self.forward(x.clone(), (3 * n, forward), run);
        self.gradient("grad", wanted(&x), (5 * n, grad), run);
        Ok(())
    }

    pub(super) fn softmax(&mut self) -> Ended {
        let (temperature, log) = (self.real("temperature", 1.0), self.flag("log"));
        self.form.composed = temperature != 1.0;
        let x = self.list("x")?;
        let (n, bytes) = (numel(&x), size(&[&x]));
        // Only the length of the rows matters.
        let d = x.last().copied().unwrap_or(1);
        self.say("x", &x, "f32");
        let rows = [(n as usize) / d, d];
        let x = Tensor::<2>::random(rows, Distribution::Normal(0.0, 1.0), self.device);
        let run = move |x: Tensor<2>| {
            let x = if temperature == 1.0 { x } else { x / temperature };
            if log { log_softmax(x, 1) } else { softmax(x, 1) }
        };
        self.forward(x.clone(), (7 * n, 2 * bytes), run);
        self.gradient("grad", wanted(&x), (5 * n, 3 * bytes), run);
        Ok(())
    }
}
