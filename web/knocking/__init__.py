"""The enrolment listener for devices that show a certificate of their own making."""
