"""De-duplication against the target dataset (OmniSource Sec. 3.3; IG-65M A.2)."""
