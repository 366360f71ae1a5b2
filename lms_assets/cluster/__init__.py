"""Runs on other machines: by LMS_BROKER_URL `./lms up` queues them and `./lms worker` works them.

Nothing else of the platform knows of Celery.
"""
