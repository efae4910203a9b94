//! Losses.

use super::{Case, Ended, numel, size, wanted};
use burn::nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, MseLoss, Reduction};
use burn::tensor::{Distribution, Int, Tensor};

impl Case<'_> {
    /// The bytes of the forward pass and of the gradient of the first `slopes` inputs, as wgslab counts them for a loss
    /// over rows.
    pub(super) fn loss_bytes(own: &[&[usize]], slopes: usize, keeps: bool) -> (u64, u64) {
        let n = own[0][0];
        let stats = if keeps { size(&[&[n, 4]]) } else { 0 };
        let grad = size(own) + stats + size(&[&[1], &[n]]) + size(&own[..slopes]);
        (size(own) + stats + size(&[&[n], &[1], &[n], &[n]]), grad)
    }

    pub(super) fn cross_entropy(&mut self) -> Ended {
        let ([n, k], smoothing): ([usize; 2], f64) = (self.dims("logits")?, self.real("label_smoothing", 0.0));
        let flops = if smoothing == 0.0 { 4 } else { 9 } * numel(&[n, k]);
        let (forward, grad) = Self::loss_bytes(&[&[n, k], &[n]], 1, true);
        let logits = self.normal("logits", [n, k]);
        let labels = self.below("labels", n, k);
        self.say("weights", &[n], "f32");
        let smoothing = (smoothing > 0.0).then_some(smoothing as f32);
        let loss = CrossEntropyLossConfig::new().with_smoothing(smoothing).init(self.device);
        let run = move |x: Tensor<2>| loss.forward(x, labels.clone());
        self.forward(logits.clone(), (flops, forward), run.clone());
        self.gradient("grad", wanted(&logits), (flops, grad), run);
        Ok(())
    }

    pub(super) fn bce_with_logits(&mut self) -> Ended {
        let [n, k]: [usize; 2] = self.dims("logits")?;
        let flops = 12 * numel(&[n, k]);
        let (forward, grad) = Self::loss_bytes(&[&[n, k], &[n, k]], 1, false);
        let logits = self.normal("logits", [n, k]);
        self.say("targets", &[n, k], "f32");
        self.say("weights", &[n], "f32");
        // Burn's loss takes integer targets.
        let targets = Tensor::<2>::random([n, k], Distribution::Bernoulli(0.5), self.device).int();
        let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(self.device);
        let run = move |x: Tensor<2>| loss.forward(x, targets.clone());
        self.forward(logits.clone(), (flops, forward), run.clone());
        self.gradient("grad", wanted(&logits), (flops, grad), run);
        Ok(())
    }

    pub(super) fn mse(&mut self) -> Ended {
        let x: [usize; 2] = self.dims("x")?;
        let flops = 3 * numel(&x);
        let (forward, grad) = Self::loss_bytes(&[&x, &x], 2, false);
        let rows = x[0];
        let (x, target) = (self.normal("x", x), self.normal("target", x));
        self.say("weights", &[rows], "f32");
        let run = |(x, target): (Tensor<2>, Tensor<2>)| MseLoss::new().forward(x, target, Reduction::Mean);
        self.forward((x.clone(), target.clone()), (flops, forward), run);
        self.gradient("grad", (wanted(&x), wanted(&target)), (flops, grad), run);
        Ok(())
    }

    /// As it is usually written with a framework: similarities, no self-pairs, cross-entropy.
    pub(super) fn nt_xent(&mut self) -> Ended {
        let ([n, d], temperature): ([usize; 2], f64) = (self.dims("z")?, self.real("temperature", 0.5));
        self.form.composed = true;
        let (elements, rows) = (numel(&[n, d]), n as u64);
        let reach = (3.0 / d as f64).sqrt();
        let z = self.filled("z", [n, d], Distribution::Uniform(-reach, reach));
        let own = Tensor::<2>::eye(n, self.device).bool();
        let partner: Vec<i64> = (0..n).map(|i| ((i + n / 2) % n) as i64).collect();
        let partner = Tensor::<1, Int>::from_data(partner.as_slice(), self.device);
        let loss = CrossEntropyLossConfig::new().init(self.device);
        let run = move |z: Tensor<2>| {
            let logits = z.clone().matmul(z.transpose()) / temperature;
            loss.forward(logits.mask_fill(own.clone(), f32::NEG_INFINITY), partner.clone())
        };
        let forward = (rows * (2 * elements + 4 * rows), size(&[&[n, d], &[n]]));
        let grad = (rows * (4 * elements + 6 * rows), size(&[&[n, d], &[n], &[n, d]]));
        self.forward(z.clone(), forward, run.clone());
        self.gradient("grad", wanted(&z), grad, run);
        Ok(())
    }
}
