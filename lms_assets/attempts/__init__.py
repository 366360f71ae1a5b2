"""From the API's answer to the table `attempts`."""
