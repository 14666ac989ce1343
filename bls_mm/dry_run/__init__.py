"""What a training would do, worked out without training."""

from .plan import Plan, format_plan, make_plan

__all__ = ['Plan', 'format_plan', 'make_plan']
