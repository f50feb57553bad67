"""From a video to a dance: frames (`reader`), landmarks of the dancer (`pose`), SMPL rotations (`inverse_kinematics`)."""
