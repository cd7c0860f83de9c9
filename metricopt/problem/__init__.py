"""What is asked, exactly and without any model: metrics, objectives with their bounds, thresholds, prevalence."""
