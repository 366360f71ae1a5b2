"""Runs on other machines: with LMS_BROKER_URL set, `./lms up` queues runs for `./lms worker`.

Only this package and its commands use Celery.
"""
