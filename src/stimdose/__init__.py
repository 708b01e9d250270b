"""Bayesian dose-response modelling of magnetic stimulation trials."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["batches", "columns", "effects", "figures", "protocol", "scales", "shapes", "summaries"],
    submod_attrs={
        "pymc_model": ["build"],
        "columns": ["COLUMNS"],
        "curves": ["band", "curve", "points"],
        "dose_space": ["confounders", "support", "visited"],
        "shipped": ["dataset_path", "datasets", "load_dataset"],
        "ecology": ["WithinAcross", "within_across"],
        "errors": ["BatchError", "ConvergenceWarning", "FitError", "ModelError", "Problem", "StimdoseError", "TrialsError"],
        "model": ["Model", "prior_table"],
        "parts": ["Dose", "Intercept", "Moderator"],
        "joint_optima": ["JointOptimum", "joint_optimum"],
        "specs": ["load_model", "models"],
        "optima": ["Optimum", "optimum"],
        "paths": ["optima_by_path", "protocol_path"],
        "decisions": ["Contrast", "contrast"],
        "leave_one_out": ["LeaveOneOut", "leave_one_study_out"],
        "averaging": ["Average", "average"],
        "prior_comparison": ["PriorComparison", "compare_priors"],
        "model_comparison": ["ModelComparison", "compare_models"],
        "marginals": ["MarginalLikelihood", "marginal_likelihood"],
        "model_odds": ["BayesFactors", "bayes_factors"],
        "predictive": ["replication", "study_effects"],
        "priors": ["Prior"],
        "named_priors": ["PriorSet", "load_prior_set", "prior_sets"],
        "evidence": ["heterogeneity_prior", "historical_prior"],
        "surfaces": ["surface"],
        "sampling": ["Fit", "Request", "batch", "fit", "load_fit"],
        "reading": ["read_trials"],
        "assumptions": ["sensitivity", "vary_spread"],
        "trials": ["Trials"],
    },
)
__version__ = "0.1.0"
