"""The fields of recipes: lengths in clips, and a teacher as a student without auxiliary sources."""

from omnicli.training.recipe_fields import StudentRecipe, TeacherRecipe, as_student


def test_a_length_in_clips_is_a_number_of_passes_and_scales_the_milestones():
    recipe = TeacherRecipe(epochs=10, milestones=(4, 8), warmup_epochs=2.0, train_clips=90)
    paced = recipe.with_length(20)  # 4.5 passes, rounded up
    assert (paced.epochs, paced.milestones, paced.warmup_epochs) == (5, (2, 4), 1.0)
    assert TeacherRecipe(epochs=10).with_length(20).epochs == 10


def test_a_teacher_is_a_student_without_auxiliary_sources():
    student = as_student(TeacherRecipe(lr=0.5))
    assert isinstance(student, StudentRecipe)
    assert (student.lr, student.ratio, student.mixup) == (0.5, (), "none")
    assert as_student(student) is student
