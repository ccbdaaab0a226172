"""The pages people use: templates, style sheet and scripts, and what makes HTML of them."""
