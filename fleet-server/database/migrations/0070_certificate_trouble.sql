-- Since when the CA has given none, and what kind of trouble that is: households and operators are told.
ALTER TABLE box_certificates ADD COLUMN failing_since timestamptz, ADD COLUMN problem_code text;
